/*
 * storage/recovery_tables.c - the index from the key tables of sealed segments.
 *
 * A table has the last operation of each key of its segment. Taken in order of version, and with
 * the records of what has no good table, they give the same index as all the records, and most of
 * the bytes are not read.
 */
#include <inttypes.h>

#include "index/qsbr.h"
#include "storage/apply.h"
#include "storage/guard.h"
#include "storage/keytable.h"
#include "storage/os.h"
#include "storage/probe.h"
#include "storage/recovery_internal.h"

/** entries between two looks at whether to go on, and two quiescent states */
#define ENTRIES_AT_ONCE 4096
/** so many loads from memory are on their way at a time */
#define ENTRIES_AHEAD 32

/* ---------------------------------------------------------------- which there are */

/** opens the table of a file, if there is a good one; says in the log what is wrong with another */
static bool find_table(cairn_recovery_t *r, cairn_recovery_file_t *file)
{
    char why[CAIRN_ERRMSG_BYTES];
    cairn_recovery_use_footer(file);
    cairn_err_t err = cairn_keytable_open(&file->table, file->segment, r->dir, why);
    if (err != CAIRN_OK && err != CAIRN_ERR_NOT_FOUND)
        cairn_health_log(r->health, CAIRN_LOG_WARNING,
                         "%s: its key table is not used: %s: reading its records", file->name, why);
    if (err != CAIRN_OK)
        file->table = NULL;
    return err == CAIRN_OK;
}

/**
 * The last two are read in any case: it is the newest record that says how late it has been, and
 * the last file may have none.
 */
unsigned cairn_recovery_find_tables(cairn_recovery_t *r)
{
    unsigned found = 0;
    for (size_t i = 0; i + 2 < r->count; ++i) {
        cairn_recovery_file_t *file = &r->files[i];
        if (file->opened.is_sealed && find_table(r, file)) {
            file->reading = CAIRN_READ_TABLE;
            ++found;
        }
    }
    return found;
}

/* ---------------------------------------------------------------- taking one in */

/** an entry being applied; the disk may fail to deliver the record it is compared with */
typedef struct st_taking_t {
    cairn_recovery_t *recovery;
    const cairn_segment_t *segment;
    const cairn_keytable_cursor_t *cursor;
    cairn_err_t err;
} taking_t;

static void take_guarded(void *ctx)
{
    taking_t *t = ctx;
    const cairn_keytable_entry_t *entry = &t->cursor->entry;
    cairn_key_t key =
        cairn_key(t->recovery->dir->hash_seed, t->cursor->key.base, t->cursor->key.count);
    t->err =
        cairn_apply_entry(t->recovery->out->index, t->recovery->out->space, &key,
                          cairn_keytable_type(entry), cairn_segment_loc(t->segment, entry->offset));
}

/** what died within the segment has no entry: it is taken to have been as long as what has one */
static void count_dead(cairn_segment_t *segment, uint64_t entries, uint64_t entry_bytes,
                       uint64_t tombstone_bytes)
{
    uint64_t records = segment->counts.puts + segment->counts.deletes;
    uint64_t within =
        records > entries && entries != 0 ? (records - entries) * (entry_bytes / entries) : 0;
    atomic_fetch_add_explicit(&segment->dead_bytes, within + tombstone_bytes, memory_order_relaxed);
}

static cairn_err_t take_entry(cairn_recovery_t *r, cairn_recovery_file_t *file,
                              const cairn_keytable_cursor_t *cursor)
{
    taking_t taking = {.recovery = r, .segment = file->segment, .cursor = cursor};
    if (cursor->entry.offset < CAIRN_SEGMENT_HEADER_BYTES ||
        cursor->entry.offset >= file->opened.footer.end ||
        cursor->entry.offset % CAIRN_RECORD_ALIGN != 0)
        return CAIRN_ERR_DAMAGED;
    if (!cairn_guard_run(take_guarded, &taking))
        return cairn_recovery_fail(r, CAIRN_ERR_IO,
                                   "%s: the disk cannot read a record that its "
                                   "key table is compared with",
                                   file->name);
    return taking.err == CAIRN_OK
               ? CAIRN_OK
               : cairn_recovery_fail(r, CAIRN_ERR_NOMEM, "no memory for the index");
}

/** the next entries' places in the index set out for the processor; how many they are */
static size_t prefetch(cairn_recovery_t *r, const cairn_keytable_cursor_t *cursor)
{
    cairn_bytes_t keys[ENTRIES_AHEAD];
    uint64_t hashes[ENTRIES_AHEAD];
    cairn_probe_t probe = {.space = r->out->space};
    size_t count = cairn_keytable_peek(cursor, keys, ENTRIES_AHEAD);
    for (size_t i = 0; i < count; ++i)
        hashes[i] = cairn_key(r->dir->hash_seed, keys[i].base, keys[i].count).hash;
    cairn_index_prefetch(r->out->index, count, hashes, cairn_probe_prefetch, &probe);
    return count;
}

/** DAMAGED: the table is, and some of it has been applied, which does no harm to its records */
static cairn_err_t take_table(cairn_recovery_t *r, cairn_recovery_file_t *file)
{
    cairn_keytable_cursor_t cursor = {.table = file->table};
    uint64_t total = cairn_keytable_entry_count(file->table), told = 0;
    uint64_t file_bytes = cairn_keytable_file_bytes(file->table);
    uint64_t entries = 0, entry_bytes = 0, tombstone_bytes = 0;
    size_t ahead = 0;
    cairn_err_t err = CAIRN_OK;
    while (err == CAIRN_OK && (err = cairn_keytable_next(&cursor)) == CAIRN_OK) {
        const cairn_keytable_entry_t *entry = &cursor.entry;
        uint64_t span = cairn_record_span(entry->key_bytes, entry->meta_bytes, entry->value_bytes);
        entry_bytes += span;
        tombstone_bytes += cairn_keytable_type(entry) == CAIRN_RECORD_DELETE ? span : 0;
        err = take_entry(r, file, &cursor);
        ahead -= ahead != 0;
        if (ahead == 0)
            ahead = prefetch(r, &cursor);
        if (err == CAIRN_OK && ++entries % ENTRIES_AT_ONCE == 0) {
            rcu_quiescent_state();
            uint64_t bytes = file_bytes * entries / total;
            err = cairn_recovery_progress(r, bytes - told);
            told = bytes;
        }
    }
    cairn_keytable_cursor_dispose(&cursor);
    if (err != CAIRN_ERR_NOT_FOUND)
        return err;
    count_dead(file->segment, entries, entry_bytes, tombstone_bytes);
    return cairn_recovery_progress(r, file_bytes - told);
}

cairn_err_t cairn_recovery_take_table(cairn_recovery_t *r, cairn_recovery_file_t *file)
{
    cairn_err_t err = take_table(r, file);
    cairn_keytable_close(file->table);
    file->table = NULL;
    if (err != CAIRN_ERR_DAMAGED)
        return err;
    cairn_health_log(r->health, CAIRN_LOG_WARNING,
                     "%s: its key table is damaged: reading its records", file->name);
    return CAIRN_ERR_DAMAGED;
}
