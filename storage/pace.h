/*
 * storage/pace.h - how fast work in the background may use the disk.
 *
 * A rate that rises step by step while nobody is held up, and is halved when the log's syncs take
 * much longer than they usually do, or when the work itself has to wait for a processor, for then
 * so do those who answer requests: additive increase, multiplicative decrease. Threads: one.
 */
#ifndef CAIRN_STORAGE_PACE_H
#define CAIRN_STORAGE_PACE_H

#include <stdint.h>

/** what the log has had to do since the start */
typedef struct st_cairn_log_load_t {
    uint64_t syncs;
    uint64_t sync_ns; /* that they took together */
    uint64_t bytes;
} cairn_log_load_t;

/** how often the thread that works has been given a processor since it began */
typedef struct st_cairn_turns_t {
    uint64_t count;
    uint64_t waited_ns; /* for them, while it could have run */
} cairn_turns_t;

typedef struct st_cairn_pace_t {
    uint64_t bytes_per_s;
    uint64_t least;         /* it is never lower; what is being logged sets it */
    uint64_t usual_sync_ns; /* of a commit while nothing else was going on; 0: not known yet */
    cairn_log_load_t load;  /* when syncs were last looked at */
    cairn_turns_t turns;    /* when they were last looked at */
    unsigned looks;         /* in a row that found that it had to wait */
    uint64_t halved_ns;     /* when the rate was halved last */
    uint64_t rested_ns;     /* when there was work last */
    uint64_t logged_ns;     /* when the rate was set last */
    uint64_t log_bytes;     /* what the log had then */
    uint64_t begun_ns;      /* when the rest after that was over */
    uint64_t bytes;         /* done since */
} cairn_pace_t;

void cairn_pace_init(cairn_pace_t *pace);

/** Nothing is going on in the background: what syncs take now is what they usually take. */
void cairn_pace_observe(cairn_pace_t *pace, const cairn_log_load_t *load);

/** Work begins; where the last has just ended, it goes on. */
void cairn_pace_begin(cairn_pace_t *pace, uint64_t now_ns, const cairn_log_load_t *load,
                      const cairn_turns_t *turns);

/**
 * So many more bytes of it have been done: milliseconds to rest before going on. Whoever waits, the
 * rate is a multiple of what is being logged meanwhile: else room would run out.
 */
uint64_t cairn_pace_rest_ms(cairn_pace_t *pace, uint64_t bytes, uint64_t now_ns,
                            const cairn_log_load_t *load, const cairn_turns_t *turns);

#endif
