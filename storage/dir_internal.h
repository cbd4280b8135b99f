/*
 * storage/dir_internal.h - what the files of the data directory's module share.
 */
#ifndef CAIRN_STORAGE_DIR_INTERNAL_H
#define CAIRN_STORAGE_DIR_INTERNAL_H

#include "storage/dir.h"

/**
 * Takes what STORE would say from the other files of a directory that has been opened: the uuid
 * that all of them have, and how far the log went at least. Errors: CORRUPT (they do not agree, or
 * there is none), IO; `errmsg` says what.
 */
cairn_err_t cairn_dir_prove(cairn_dir_t *dir, const char *path, char *errmsg);

#endif
