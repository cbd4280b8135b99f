/*
 * Is what clients saw what one store could have shown them?
 *
 * In order: learn_versions() ties reads to puts (rule 3). sort_writes() brings all writes with a
 * version into order. sweep() goes through the begins and ends of all calls in time, and notes what
 * each could rely on when it began; the rules are then tried on each call by itself (2, 4, 5, 7) or
 * together with the write before it (1, 6, 7).
 */
#include "tests/history.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* what the functions below share while a history is checked */
typedef struct st_check_t {
    history_t *history;
    history_call_t *starts; /* a put or a delete for each key: what it had at the begin */
    history_call_t **puts;  /* by value, the starts among them */
    size_t put_count;
    history_call_t **writes; /* by key and version, the starts among them */
    size_t write_count;
    history_call_t **unknown; /* puts and deletes without answer, and without version */
    size_t unknown_count;
    uint64_t *key_floors;
    uint64_t floor;
} check_t;

static void complain(check_t *check, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void complain(check_t *check, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    ++check->history->violations;
    if (check->history->on_violation != NULL)
        check->history->on_violation(check->history->ctx, text);
}

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count + 1, size);
    if (memory == NULL)
        abort();
    return memory;
}

/* ---------------------------------------------------------------- what a call is */

static bool is_start(const history_call_t *call)
{
    return call->begun_ns == 0;
}

/* it has changed the key, for sure */
static bool is_done_write(const history_call_t *call)
{
    return call->op != HISTORY_GET && call->version != 0;
}

static bool may_have_happened(const history_call_t *call)
{
    return call->op != HISTORY_GET && (call->version != 0 || call->status == 0);
}

static const char *op_name(history_op_t op)
{
    return op == HISTORY_GET ? "GET" : op == HISTORY_PUT ? "PUT" : "DELETE";
}

/* ---------------------------------------------------------------- answers by themselves */

static bool is_expected_answer(const history_call_t *call)
{
    bool is_missing = call->status == 404 && call->version == 0;
    if (call->status == 0)
        return call->ended_ns == HISTORY_NEVER && call->version == 0;
    switch (call->op) {
    case HISTORY_GET:
        return is_missing || (call->status == 200 && call->version != 0);
    case HISTORY_DELETE:
        return is_missing || (call->status == 204 && call->version != 0);
    default:
        if (call->wanted != 0)
            return call->status == 412 ? call->version == 0
                                       : call->status == 204 && call->version > call->wanted;
        return (call->status == 201 || call->status == 204) && call->version != 0;
    }
}

static void check_answers(check_t *check)
{
    for (size_t i = 0; i != check->history->count; ++i) {
        const history_call_t *call = &check->history->calls[i];
        if (!is_expected_answer(call))
            complain(check, "answer: %s of key %" PRIu32 " got %d with version %" PRIu64,
                     op_name(call->op), call->key, call->status, call->version);
    }
}

/* ---------------------------------------------------------------- reads and their puts */

static int by_value(const void *a, const void *b)
{
    const history_call_t *x = *(history_call_t *const *)a, *y = *(history_call_t *const *)b;
    return (x->value > y->value) - (x->value < y->value);
}

static history_call_t *find_put(const check_t *check, uint64_t value)
{
    history_call_t wanted = {.value = value}, *key = &wanted;
    history_call_t **found =
        bsearch(&key, check->puts, check->put_count, sizeof(*check->puts), by_value);
    return found != NULL ? *found : NULL;
}

static void make_starts(check_t *check)
{
    const history_t *h = check->history;
    check->starts = allocate(h->key_count, sizeof(*check->starts));
    for (size_t i = 0; i != h->key_count; ++i)
        check->starts[i] = (history_call_t){
            .op = h->keys[i].value != 0 ? HISTORY_PUT : HISTORY_DELETE,
            .key = (uint32_t)i,
            .version = h->keys[i].version,
            .value = h->keys[i].value,
        };
}

static void sort_puts(check_t *check)
{
    history_t *h = check->history;
    check->puts = allocate(h->count + h->key_count, sizeof(*check->puts));
    for (size_t i = 0; i != h->key_count; ++i)
        if (check->starts[i].op == HISTORY_PUT)
            check->puts[check->put_count++] = &check->starts[i];
    for (size_t i = 0; i != h->count; ++i)
        if (h->calls[i].op == HISTORY_PUT && may_have_happened(&h->calls[i]))
            check->puts[check->put_count++] = &h->calls[i];
    qsort(check->puts, check->put_count, sizeof(*check->puts), by_value);
}

/* rule 3; the version of a put without an answer is that which it is read with */
static void learn_versions(check_t *check)
{
    for (size_t i = 0; i != check->history->count; ++i) {
        const history_call_t *read = &check->history->calls[i];
        if (read->op != HISTORY_GET || read->status != 200)
            continue;
        history_call_t *put = find_put(check, read->value);
        if (put == NULL || put->key != read->key) {
            complain(check,
                     "unwritten: key %" PRIu32 " was read with value %" PRIx64
                     " as version %" PRIu64 ", which was not put there",
                     read->key, read->value, read->version);
            continue;
        }
        if (put->begun_ns > read->ended_ns)
            complain(check, "early: value %" PRIx64 " of key %" PRIu32 " was read before its put",
                     read->value, read->key);
        if (put->version == 0)
            put->version = read->version;
        else if (put->version != read->version)
            complain(check,
                     "version: key %" PRIu32 " was put as version %" PRIu64
                     " and read as version %" PRIu64,
                     read->key, put->version, read->version);
    }
}

/* ---------------------------------------------------------------- writes in order */

static int by_key_and_version(const void *a, const void *b)
{
    const history_call_t *x = *(history_call_t *const *)a, *y = *(history_call_t *const *)b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return (x->version > y->version) - (x->version < y->version);
}

static int by_version(const void *a, const void *b)
{
    const history_call_t *x = *(history_call_t *const *)a, *y = *(history_call_t *const *)b;
    return (x->version > y->version) - (x->version < y->version);
}

static void sort_writes(check_t *check)
{
    history_t *h = check->history;
    check->writes = allocate(h->count + h->key_count, sizeof(*check->writes));
    check->unknown = allocate(h->count, sizeof(*check->unknown));
    for (size_t i = 0; i != h->key_count; ++i)
        check->writes[check->write_count++] = &check->starts[i];
    for (size_t i = 0; i != h->count; ++i) {
        history_call_t *call = &h->calls[i];
        if (is_done_write(call))
            check->writes[check->write_count++] = call;
        else if (may_have_happened(call))
            check->unknown[check->unknown_count++] = call;
    }
}

/* rule 1 */
static void check_distinct(check_t *check)
{
    qsort(check->writes, check->write_count, sizeof(*check->writes), by_version);
    for (size_t i = 0; i != check->write_count; ++i) {
        const history_call_t *write = check->writes[i];
        if (is_start(write))
            continue;
        if (write->version <= check->history->highest)
            complain(check, "reused: version %" PRIu64 " of key %" PRIu32 " is not above %" PRIu64,
                     write->version, write->key, check->history->highest);
        if (i != 0 && check->writes[i - 1]->version == write->version)
            complain(check, "reused: version %" PRIu64 " of keys %" PRIu32 " and %" PRIu32,
                     write->version, check->writes[i - 1]->key, write->key);
    }
    qsort(check->writes, check->write_count, sizeof(*check->writes), by_key_and_version);
}

/* the first write of the key whose version is at least this; the end if there is none */
static size_t first_write(const check_t *check, uint32_t key, uint64_t version)
{
    const history_call_t wanted = {.key = key, .version = version}, *pointer = &wanted;
    size_t low = 0, high = check->write_count;
    while (low != high) {
        size_t middle = low + (high - low) / 2;
        if (by_key_and_version(&check->writes[middle], &pointer) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* ---------------------------------------------------------------- time */

typedef struct st_event_t {
    uint64_t at_ns;
    history_call_t *call;
    bool is_end;
} event_t;

/* at the same instant begins come first: nothing can be concluded from it */
static int by_time(const void *a, const void *b)
{
    const event_t *x = a, *y = b;
    if (x->at_ns != y->at_ns)
        return x->at_ns < y->at_ns ? -1 : 1;
    return (int)x->is_end - (int)y->is_end;
}

static bool unknown_could_be(const check_t *check, history_op_t op, uint32_t key,
                             uint64_t before_ns, uint64_t below_version)
{
    for (size_t i = 0; i != check->unknown_count; ++i) {
        const history_call_t *call = check->unknown[i];
        if (call->op == op && call->key == key && call->begun_ns <= before_ns &&
            call->_floor + 1 < below_version)
            return true;
    }
    return false;
}

/*
 * Rule 5. Returns the version that the key is known to have reached when this 404 ends: the floor,
 * or the first delete above it that can have been in time. That is noted so that a later read does
 * not see what was before it.
 */
static uint64_t check_missing(check_t *check, const history_call_t *call)
{
    uint64_t floor = call->_key_floor;
    size_t at = first_write(check, call->key, floor);
    if (at != check->write_count && check->writes[at]->key == call->key &&
        check->writes[at]->version == floor && check->writes[at]->op == HISTORY_DELETE)
        return floor;
    if (unknown_could_be(check, HISTORY_DELETE, call->key, call->ended_ns, UINT64_MAX))
        return floor;
    for (; at != check->write_count && check->writes[at]->key == call->key; ++at) {
        const history_call_t *write = check->writes[at];
        if (write->op == HISTORY_DELETE && write->version > floor &&
            write->begun_ns <= call->ended_ns)
            return write->version;
    }
    complain(check,
             "missing: %s of key %" PRIu32 " got 404, but version %" PRIu64
             " was there and nobody had deleted it",
             op_name(call->op), call->key, floor);
    return floor;
}

/* rule 7, of one that was not done */
static void check_refused(check_t *check, const history_call_t *call)
{
    size_t at = first_write(check, call->key, call->wanted + 1);
    bool is_replaced = at != check->write_count && check->writes[at]->key == call->key &&
                       check->writes[at]->begun_ns <= call->ended_ns;
    if (call->_key_floor == call->wanted && !is_replaced &&
        !unknown_could_be(check, HISTORY_PUT, call->key, call->ended_ns, UINT64_MAX) &&
        !unknown_could_be(check, HISTORY_DELETE, call->key, call->ended_ns, UINT64_MAX))
        complain(check,
                 "exact: a put of key %" PRIu32 " if it has version %" PRIu64
                 " got 412, and that it had",
                 call->key, call->wanted);
}

static void raise_floors(check_t *check, uint32_t key, uint64_t version)
{
    if (version > check->key_floors[key])
        check->key_floors[key] = version;
    if (version > check->floor)
        check->floor = version;
}

/* rules 2 and 4 */
static void check_floors(check_t *check, const history_call_t *call)
{
    if (is_done_write(call) && call->version <= call->_floor)
        complain(check,
                 "order: %s of key %" PRIu32 " got version %" PRIu64 " after %" PRIu64
                 " had been answered",
                 op_name(call->op), call->key, call->version, call->_floor);
    if (call->op == HISTORY_GET && call->status == 200 && call->version < call->_key_floor)
        complain(check,
                 "stale: key %" PRIu32 " was read as version %" PRIu64 " after %" PRIu64
                 " had been answered",
                 call->key, call->version, call->_key_floor);
}

static void sweep(check_t *check)
{
    history_t *h = check->history;
    size_t count = 0;
    event_t *events = allocate(2 * h->count, sizeof(*events));
    check->key_floors = allocate(h->key_count, sizeof(*check->key_floors));
    check->floor = h->highest;
    for (size_t i = 0; i != h->key_count; ++i)
        raise_floors(check, (uint32_t)i, h->keys[i].version);
    for (size_t i = 0; i != h->count; ++i) {
        events[count++] = (event_t){h->calls[i].begun_ns, &h->calls[i], false};
        events[count++] = (event_t){h->calls[i].ended_ns, &h->calls[i], true};
    }
    qsort(events, count, sizeof(*events), by_time);
    for (size_t i = 0; i != count; ++i) {
        history_call_t *call = events[i].call;
        if (!events[i].is_end) {
            call->_key_floor = check->key_floors[call->key];
            call->_floor = check->floor;
        } else {
            check_floors(check, call);
            if (call->status == 412)
                check_refused(check, call);
            if (call->status == 404)
                raise_floors(check, call->key, check_missing(check, call));
            else if (call->status != 0)
                raise_floors(check, call->key, call->version);
        }
    }
    free(events);
}

/* ---------------------------------------------------------------- each write and the one before */

/* rule 6; what has no answer says nothing, but may stand between two that have one */
static void check_existence(check_t *check)
{
    for (size_t i = 1; i < check->write_count; ++i) {
        const history_call_t *before = check->writes[i - 1], *write = check->writes[i];
        if (is_start(write) || write->status == 0)
            continue;
        history_op_t needed = write->status == 201 ? HISTORY_DELETE : HISTORY_PUT;
        if (before->op == needed ||
            (write->version - before->version > 1 &&
             unknown_could_be(check, needed, write->key, write->ended_ns, write->version)))
            continue;
        complain(check,
                 "existence: %s of key %" PRIu32 " got %d as version %" PRIu64
                 ", but version %" PRIu64 " before it is a %s",
                 op_name(write->op), write->key, write->status, write->version, before->version,
                 op_name(before->op));
    }
}

/* rule 7, of one that was done, answered or not */
static void check_exact(check_t *check)
{
    for (size_t i = 1; i < check->write_count; ++i) {
        const history_call_t *before = check->writes[i - 1], *write = check->writes[i];
        if (!is_start(write) && write->wanted != 0 && before->version != write->wanted)
            complain(check,
                     "exact: key %" PRIu32 " was put as version %" PRIu64 " only if it had %" PRIu64
                     ", but it had %" PRIu64,
                     write->key, write->version, write->wanted, before->version);
    }
}

/* ---------------------------------------------------------------- the door */

void history_init(history_t *history, size_t key_count)
{
    *history = (history_t){.key_count = key_count};
    history->keys = allocate(key_count, sizeof(*history->keys));
}

void history_dispose(history_t *history)
{
    free(history->keys);
    free(history->calls);
    *history = (history_t){0};
}

void history_add(history_t *history, const history_call_t *calls, size_t count)
{
    if (count == 0)
        return;
    if (history->_room - history->count < count) {
        history->_room = 2 * (history->count + count);
        history->calls = realloc(history->calls, history->_room * sizeof(*calls));
        if (history->calls == NULL)
            abort();
    }
    memcpy(history->calls + history->count, calls, count * sizeof(*calls));
    history->count += count;
}

void history_check(history_t *history)
{
    check_t check = {.history = history};
    check_answers(&check);
    make_starts(&check);
    sort_puts(&check);
    learn_versions(&check);
    sort_writes(&check);
    check_distinct(&check);
    sweep(&check);
    check_existence(&check);
    check_exact(&check);
    free(check.starts);
    free(check.puts);
    free(check.writes);
    free(check.unknown);
    free(check.key_floors);
}

void history_next(history_t *history)
{
    uint64_t *read_ns = allocate(history->key_count, sizeof(*read_ns));
    for (size_t i = 0; i != history->count; ++i) {
        const history_call_t *call = &history->calls[i];
        history_key_t *key = &history->keys[call->key];
        if (call->version > history->highest)
            history->highest = call->version;
        if (call->op != HISTORY_GET || call->status == 0 || call->begun_ns < read_ns[call->key])
            continue;
        read_ns[call->key] = call->begun_ns;
        key->value = call->status == 200 ? call->value : 0;
        key->version = call->version;
    }
    /* a delete that was not answered has a version that nobody knows; it is not above `highest` */
    for (size_t i = 0; i != history->key_count; ++i)
        if (history->keys[i].value == 0)
            history->keys[i].version = history->highest;
    free(read_ns);
    history->count = 0;
}
