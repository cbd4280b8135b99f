/*
 * storage/store_internal.h - what store.c and batch.c share of the store.
 */
#ifndef CAIRN_STORAGE_STORE_INTERNAL_H
#define CAIRN_STORAGE_STORE_INTERNAL_H

#include "storage/checkpoint.h"
#include "storage/clock.h"
#include "storage/compaction.h"
#include "storage/dir.h"
#include "storage/feed_marks.h"
#include "storage/iopool.h"
#include "storage/probe.h"
#include "storage/reclaimer.h"
#include "storage/runs.h"
#include "storage/segments.h"
#include "storage/scrub.h"
#include "storage/store.h"
#include "storage/upkeep.h"
#include "storage/writer.h"

struct st_cairn_store_t {
    cairn_store_options_t options;
    cairn_dir_t dir;
    cairn_health_t health;
    cairn_clock_t clock;
    cairn_segments_t segments;
    cairn_position_cell_t position;
    cairn_checkpoint_t checkpoint;
    cairn_index_t *index;
    cairn_space_t *space;
    cairn_iopool_t *iopool;
    cairn_upkeep_t *upkeep;
    cairn_reserve_t reserve;
    cairn_compaction_t *compaction;
    bool no_checkpoints; /* upkeep's: what they would say is no longer known */
    cairn_maintenance_t *maintenance;
    cairn_writer_t *writer;
    cairn_reclaimer_t *reclaimer;
    cairn_watches_t watches;
    cairn_feed_marks_t feed_marks;
    cairn_scrub_t scrub;
    cairn_runs_kept_t runs;
    _Atomic uint64_t loads;
    uint64_t quarantined; /* files in quarantine/; set while it is opened */
};

/** Hashes the key of a write that is to be queued as this store does, whatever seed it came with.
 */
void cairn_store_rehash(const cairn_store_t *store, cairn_write_t *write);

/** What a get comes to whose probe has found `loc`. */
cairn_err_t cairn_store_take(cairn_store_t *store, const cairn_probe_t *probe, uint64_t loc,
                             cairn_value_t *value);

/** The value at a location whose head is known to be good; `is_loaded`: its body too. */
cairn_err_t cairn_store_take_at(cairn_store_t *store, uint64_t loc, bool is_loaded,
                                cairn_value_t *value);

/**
 * Whether the index points to the record that a walk looks at. Compaction may have moved it since
 * the segment was pinned, and then only the version tells. Where that cannot be read in the copy it
 * counts as live, for it is not to be passed over, and is doubtful: it may have been replaced. What
 * a newer write has replaced is not live, whether that can be read or not. Waits for the disk; a
 * quiescent state.
 */
bool cairn_store_is_live(cairn_store_t *store, const cairn_segment_t *segment, uint64_t offset,
                         const cairn_key_t *key, uint64_t version, bool *is_doubtful);

/** Brings a record in and verifies it. Waits for the disk; the segment stays meanwhile. */
cairn_err_t cairn_store_load_record(cairn_segment_t *segment, uint64_t offset);

/** The job of upkeep that gives each sealed segment its key table. */
bool cairn_store_keytable_job(void *store, cairn_upkeep_t *upkeep);

/** Removes key tables that belong to no segment, or were never finished; at an open. */
void cairn_store_sweep_keytables(cairn_store_t *store);

/** The job of upkeep that writes a checkpoint beside running writes, when it is due. */
bool cairn_store_checkpoint_job(void *store, cairn_upkeep_t *upkeep);

/** Writes one at the end if it is worth while; the writer and maintenance have ended. */
void cairn_store_write_last_checkpoint(cairn_store_t *store, uint64_t durable_version);

/**
 * Has the writer sync whatever it has written, and waits; says up to which version all is on disk
 * and in the index.
 * Threads: a job of upkeep, online. Errors: CANCELLED (it is stopping), NOMEM, FAILED.
 */
cairn_err_t cairn_store_make_durable(cairn_store_t *store, cairn_upkeep_t *upkeep,
                                     uint64_t *version);

/** The compaction of a store whose other parts are there. NULL when there is no memory. */
cairn_compaction_t *cairn_store_make_compaction(cairn_store_t *store);

#endif
