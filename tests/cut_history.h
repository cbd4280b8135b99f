/*
 * tests/cut_history.h - histories of a store on a disk whose power is cut, and what was lost in
 * them.
 *
 * A history is written to a simulated disk through the real store with its real threads; at some
 * change on disk the power goes; the store is opened on what is left, looked at, and written to
 * again, cut after cut on the same disk. The model is the list of all versions that were given out:
 * after a cut the store must be exactly what it was after one of them, and that one not older than
 * the last that had been acknowledged as durable.
 *
 * What threads add to the seed cannot be repeated: the same seed makes the same choices, but the
 * instant of a cut may meet another mix of the writer's calls and maintenance's.
 */
#ifndef CAIRN_TESTS_CUT_HISTORY_H
#define CAIRN_TESTS_CUT_HISTORY_H

#include <stdint.h>

/** beside the lies of the disk: what is taken for an atomic batch is queued as a plain one */
#define CUT_LIE_ATOMIC (1u << 16)

typedef struct st_cut_tally_t {
    uint64_t cuts, kills;
    uint64_t opened;       /* and looked at */
    uint64_t checked;      /* acknowledged as durable, and looked for after a cut */
    uint64_t lost;         /* of them not there, or an older one in their place */
    uint64_t resurrected;  /* deleted, and there again */
    uint64_t partial;      /* never written, or not whole */
    uint64_t batches;      /* atomic ones of several records */
    uint64_t torn_batches; /* of which a part was there after a cut */
    uint64_t false_alarms; /* an intact store that was refused */
    uint64_t suspects;     /* or whose end was called suspect */
    uint64_t refused;      /* opening met a staged fault */
    uint64_t restored;     /* opened from a checkpoint */
    uint64_t compactions;  /* that came to their end */
    uint64_t found;        /* stores opened in which there were compacted segments */
} cut_tally_t;

/** what goes on beside the writes */
typedef enum en_cut_upkeep_t {
    CUT_UPKEEP_NONE = 0,
    CUT_UPKEEP_CHECKPOINTS = 1,
    CUT_UPKEEP_COMPACTION = 2,
    CUT_UPKEEP_BOTH = CUT_UPKEEP_CHECKPOINTS | CUT_UPKEEP_COMPACTION
} cut_upkeep_t;

/** For CU_add_suite(): while histories are run the store's system calls are those of a simulated
 * disk. */
int cut_history_set_up(void);
int cut_history_tear_down(void);

/**
 * Runs one and adds what it came to; one in which something is found ends there, and that is
 * printed unless it was told to lie. `base` and `seed` make its choices, `lies` are of
 * tests/disk_sim.h.
 *
 * Threads: any, each with a tally of its own.
 */
void cut_history_run(uint64_t base, uint64_t seed, unsigned lies, cut_upkeep_t upkeep,
                     cut_tally_t *tally);

/** How much is in it that must not be, suspects left out. */
uint64_t cut_findings(const cut_tally_t *tally);

#endif
