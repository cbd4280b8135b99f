/*
 * storage/pace.c - how fast work in the background may use the disk.
 */
#include "storage/pace.h"

#include <stdbool.h>

#define MIB ((uint64_t)1 << 20)
#define RATE_LEAST (2 * MIB)
#define RATE_MOST (200 * MIB)
/** who may be held up is not known yet */
#define RATE_FIRST (4 * MIB)
#define RATE_STEP (2 * MIB)
/** syncs that take so many times what they usually do are being held up */
#define HELD_UP 2
/** too few of them say nothing */
#define SYNCS_LEAST 4
/** one slow sync does not change what is usual */
#define USUAL_PARTS 16
/** to be given a processor takes some hundredths of a millisecond where one is free */
#define TURN_WAITS_NS ((uint64_t)100 * 1000)
/** fewer are a matter of chance: to wait once for the kernel's next tick takes up to 4 ms */
#define TURNS_LEAST 32
/** it is more than a moment when that many looks in a row say so: a burst may lie in two of them */
#define LOOKS_LEAST 3
/** for so long after somebody had to wait the rate does not rise */
#define HALVED_FOR_NS ((uint64_t)1000000000)
/** how long a rate holds without work */
#define KNOWN_FOR_NS ((uint64_t)1000000000)
#define REST_MS_MOST 1000
/** after so many bytes the rate is set anew */
#define WINDOW_BYTES (2 * MIB)
/** what is copied for each byte that is logged, at least: a little more than what a store needs
 * that keeps two thirds of its bytes live */
#define LOG_MULTIPLE 2

void cairn_pace_init(cairn_pace_t *pace)
{
    *pace = (cairn_pace_t){.bytes_per_s = RATE_FIRST, .least = RATE_LEAST};
}

/** the mean of the syncs since the last call; 0 where there were too few */
static uint64_t mean_since(cairn_pace_t *pace, const cairn_log_load_t *load)
{
    uint64_t count = load->syncs - pace->load.syncs, ns = load->sync_ns - pace->load.sync_ns;
    if (count < SYNCS_LEAST)
        return 0;
    pace->load = *load;
    return ns / count;
}

void cairn_pace_observe(cairn_pace_t *pace, const cairn_log_load_t *load)
{
    uint64_t mean = mean_since(pace, load);
    if (mean == 0)
        return;
    if (pace->usual_sync_ns == 0)
        pace->usual_sync_ns = mean;
    else
        pace->usual_sync_ns += mean / USUAL_PARTS - pace->usual_sync_ns / USUAL_PARTS;
}

/** a window of work begins after a rest; what the log has meanwhile counts with the rest's time */
static void begin_window(cairn_pace_t *pace, uint64_t now_ns, uint64_t rest_ms,
                         const cairn_log_load_t *load)
{
    pace->begun_ns = now_ns + rest_ms * 1000000;
    pace->logged_ns = now_ns;
    pace->log_bytes = load->bytes;
    pace->bytes = 0;
}

void cairn_pace_begin(cairn_pace_t *pace, uint64_t now_ns, const cairn_log_load_t *load,
                      const cairn_turns_t *turns)
{
    /* what has been found out before may not be so any more */
    if (now_ns - pace->rested_ns <= KNOWN_FOR_NS)
        return;
    pace->bytes_per_s = RATE_FIRST;
    pace->least = RATE_LEAST;
    pace->turns = *turns;
    pace->looks = 0;
    begin_window(pace, now_ns, 0, load);
}

static uint64_t clamp(uint64_t rate, uint64_t least, uint64_t most)
{
    return rate < least ? least : rate > most ? most : rate;
}

static void halve(cairn_pace_t *pace, uint64_t now_ns)
{
    pace->bytes_per_s = clamp(pace->bytes_per_s / 2, pace->least, RATE_MOST);
    pace->halved_ns = now_ns;
}

/** whether there are more who could run than processors, and have been for more than a moment */
static bool has_waited_long(cairn_pace_t *pace, const cairn_turns_t *turns)
{
    uint64_t count = turns->count - pace->turns.count,
             waited_ns = turns->waited_ns - pace->turns.waited_ns;
    if (count < TURNS_LEAST)
        return false;
    pace->turns = *turns;
    pace->looks = waited_ns / count > TURN_WAITS_NS ? pace->looks + 1 : 0;
    return pace->looks >= LOOKS_LEAST;
}

static uint64_t logged_per_s(const cairn_pace_t *pace, uint64_t now_ns,
                             const cairn_log_load_t *load)
{
    uint64_t ms = (now_ns - pace->logged_ns) / 1000000;
    return (load->bytes - pace->log_bytes) * 1000 / (ms != 0 ? ms : 1);
}

static void adapt(cairn_pace_t *pace, uint64_t now_ns, uint64_t mean, uint64_t logged)
{
    pace->least = clamp(LOG_MULTIPLE * logged, RATE_LEAST, RATE_MOST);
    if (mean != 0 && pace->usual_sync_ns != 0 && mean > HELD_UP * pace->usual_sync_ns)
        halve(pace, now_ns);
    else if (now_ns - pace->halved_ns > HALVED_FOR_NS)
        pace->bytes_per_s += RATE_STEP;
    pace->bytes_per_s = clamp(pace->bytes_per_s, pace->least, RATE_MOST);
}

uint64_t cairn_pace_rest_ms(cairn_pace_t *pace, uint64_t bytes, uint64_t now_ns,
                            const cairn_log_load_t *load, const cairn_turns_t *turns)
{
    uint64_t taken_ms = now_ns > pace->begun_ns ? (now_ns - pace->begun_ns) / 1000000 : 0;
    if (has_waited_long(pace, turns))
        halve(pace, now_ns);
    pace->bytes += bytes;
    uint64_t due_ms = pace->bytes * 1000 / pace->bytes_per_s;
    uint64_t rest_ms = due_ms > taken_ms ? due_ms - taken_ms : 0;
    if (rest_ms > REST_MS_MOST)
        rest_ms = REST_MS_MOST;
    if (pace->bytes >= WINDOW_BYTES) {
        adapt(pace, now_ns, mean_since(pace, load), logged_per_s(pace, now_ns, load));
        begin_window(pace, now_ns, rest_ms, load);
    }
    pace->rested_ns = now_ns;
    return rest_ms;
}
