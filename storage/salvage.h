/*
 * storage/salvage.h - making a damaged store one that opens, of all that can be proven of it.
 *
 * For a store that refuses to open, and only when somebody asks for it. Every segment is read to
 * its last byte. One that is damaged is replaced by a compacted one of the next generation, which
 * covers the same versions: what is whole is copied, what has only a key left becomes a LOST
 * record, and how many versions have not even that is said in its footer. In the place of a segment
 * that is missing comes one that says so of all its versions. What was replaced is kept in
 * quarantine/. What STORE said has been taken from other files before, where it is damaged or gone
 * (cairn_dir_open_to_salvage); the damaged one is kept there too.
 */
#ifndef CAIRN_STORAGE_SALVAGE_H
#define CAIRN_STORAGE_SALVAGE_H

#include "storage/health.h"
#include "storage/store.h"

struct st_cairn_dir_t;

/**
 * Salvages what is damaged; changes nothing where nothing is. Before anything is changed all that
 * is damaged is in quarantine/, durably. After a crash at any point the store refuses to open as
 * before, or opens salvaged, and another salvage goes on.
 *
 * Threads: the one that opens the store, registered with QSBR.
 * Errors: CORRUPT (not damaged, but of another version of cairn or another store), IO, NOMEM,
 * DISK_FULL, CANCELLED (by options->on_progress); `errmsg` says what.
 */
cairn_err_t cairn_salvage(const struct st_cairn_dir_t *dir, const cairn_store_options_t *options,
                          cairn_health_t *health, char *errmsg);

#endif
