/*
 * storage/file.h - writing a file whole, and what it means when that fails.
 */
#ifndef CAIRN_STORAGE_FILE_H
#define CAIRN_STORAGE_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "storage/types.h"

/** What a result of cairn_os means: OK, DISK_FULL, NO_FILES, NOMEM, IO. */
cairn_err_t cairn_file_err_of(int64_t result);

/** Writes all of it. Errors: DISK_FULL, IO; some of it may be in the file. */
cairn_err_t cairn_file_write_all(int fd, const void *base, size_t count, uint64_t offset);

#endif
