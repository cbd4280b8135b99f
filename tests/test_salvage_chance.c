/*
 * Is a salvaged store right, whatever was done to it before and wherever it was damaged?
 *
 * Random histories with batches, expiry, compactions, key tables, checkpoints, restarts and deaths;
 * then random damage in one or several places of the files; then a salvage. Every key gives its
 * last value or an error, or, where the store says that the version of its last write may be lost,
 * something older. A restart without the flag, key tables and compactions change nothing of that.
 */
#include <CUnit/CUnit.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/os.h"
#include "storage/store_internal.h"
#include "tests/fault_os.h"
#include "tests/later.h"
#include "tests/seed.h"
#include "tests/store_fixture.h"
#include "tests/suites.h"

#define KEYS 40
#define VALUE_BYTES_MAX 4000
#define SEGMENT_BYTES 32768
/** more than the last two commits take */
#define LAST_COMMITS_BYTES 9000

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define HISTORIES 30
#else
#define HISTORIES 150
#endif
#define HISTORIES_SOAK 5000

typedef struct st_known_t {
    bool exists;
    uint8_t seed;
    uint16_t bytes;
    uint64_t version; /* of the last write, also if it was a delete */
    uint64_t expiry_ms;
} known_t;

typedef struct st_chance_t {
    fixture_t f;
    random_t random;
    waiter_t waiter;
    known_t keys[KEYS];
    cairn_err_t errs[KEYS]; /* of the last check */
    uint64_t versions[KEYS];
    cairn_damage_t told;
    char what[2000]; /* that was done to it */
    unsigned wrong;
} chance_t;

static uint8_t pool[VALUE_BYTES_MAX + 256];

static cairn_bytes_t key_of(size_t i, char room[24])
{
    snprintf(room, 24, "a key %03zu", i);
    return text(room);
}

static cairn_write_t *frame(chance_t *m, size_t i, cairn_write_op_t op, known_t *after)
{
    char room[24];
    bool is_put = op == CAIRN_WRITE_PUT;
    *after = (known_t){.exists = is_put,
                       .seed = (uint8_t)random_next(&m->random),
                       .bytes = (uint16_t)random_below(&m->random, VALUE_BYTES_MAX)};
    cairn_bytes_t value =
        is_put ? (cairn_bytes_t){pool + after->seed, after->bytes} : (cairn_bytes_t){0};
    cairn_write_t *write = fixture_frame(&m->waiter, op, key_of(i, room), value, CAIRN_SYNC);
    if (is_put && random_below(&m->random, 8) == 0)
        write->ttl_ms = 1 + random_below(&m->random, 3000);
    return write;
}

static void take_over(chance_t *m, size_t i, cairn_write_t *write, known_t after)
{
    if (write->err == CAIRN_OK) {
        after.version = write->version;
        if (write->ttl_ms != 0)
            after.expiry_ms = cairn_record_expiry_ms(write->_record);
        m->keys[i] = after;
    }
    cairn_write_destroy(write);
}

static void write_one(chance_t *m)
{
    known_t after;
    size_t i = random_below(&m->random, KEYS);
    cairn_write_op_t op = random_below(&m->random, 4) == 0 ? CAIRN_WRITE_DELETE : CAIRN_WRITE_PUT;
    cairn_write_t *write = frame(m, i, op, &after);
    CU_ASSERT_EQUAL_FATAL(cairn_store_submit(m->f.store, write), CAIRN_OK);
    waiter_take(&m->waiter, 1);
    take_over(m, i, write, after);
}

static void write_batch(chance_t *m)
{
    enum { MOST = 8 };
    cairn_write_t *writes[MOST] = {NULL};
    known_t after[MOST];
    size_t first = random_below(&m->random, KEYS - MOST), count = 2 + random_below(&m->random, 6);
    for (size_t i = 0; i < count; ++i) {
        writes[i] = frame(m, first + i, CAIRN_WRITE_PUT, &after[i]);
        writes[i]->next = NULL;
        if (i != 0)
            writes[i - 1]->next = writes[i];
    }
    CU_ASSERT_EQUAL_FATAL(cairn_store_enqueue_batch(m->f.store, writes[0], true), CAIRN_OK);
    cairn_store_wake(m->f.store);
    waiter_take(&m->waiter, count);
    for (size_t i = 0; i < count; ++i)
        take_over(m, first + i, writes[i], after[i]);
}

static void die(chance_t *m)
{
    fault_os_freeze_after(random_below(&m->random, 6), false);
    if (random_below(&m->random, 2) == 0) {
        cairn_store_compact(m->f.store);
        cairn_store_upkeep(m->f.store);
    }
    fixture_close(&m->f);
    fault_os_reset();
}

static void open_again(chance_t *m)
{
    cairn_err_t err = fixture_open(&m->f);
    if (err != CAIRN_OK)
        printf("\n%s: %s\n", m->what, m->f.errmsg);
    CU_ASSERT_EQUAL_FATAL(err, CAIRN_OK);
}

static void step(chance_t *m)
{
    uint64_t dice = random_below(&m->random, 1000);
    if (dice < 930)
        write_one(m);
    else if (dice < 960)
        write_batch(m);
    else if (dice < 970)
        later_by(random_below(&m->random, 3000));
    else if (dice < 980)
        cairn_store_upkeep(m->f.store);
    else if (dice < 990) {
        cairn_store_compact(m->f.store);
        cairn_store_upkeep(m->f.store);
    } else if (dice < 995) {
        fixture_close(&m->f);
        open_again(m);
    } else {
        die(m);
        open_again(m);
    }
}

/* ---------------------------------------------------------------- damage */

static void say(chance_t *m, const char *what, const char *name, size_t at, size_t n)
{
    size_t used = strlen(m->what);
    snprintf(m->what + used, sizeof(m->what) - used, " %s %s at %zu (%zu);", what, name, at, n);
}

static size_t list_files(chance_t *m, char names[][40], size_t most, const char *suffix)
{
    size_t n = 0;
    DIR *dir = opendir(m->f.options.path);
    struct dirent *e;
    while ((e = readdir(dir)) != NULL && n < most)
        if (strlen(e->d_name) < 40 && strstr(e->d_name, suffix) != NULL &&
            strstr(e->d_name, ".tmp") == NULL)
            memcpy(names[n++], e->d_name, strlen(e->d_name) + 1);
    closedir(dir);
    return n;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

/** somewhere, but more often at the beginnings of what counts */
static size_t place(chance_t *m, const uint8_t *content, size_t bytes)
{
    switch (random_below(&m->random, 6)) {
    case 0:
        return random_below(&m->random, bytes < 4096 ? bytes : 4096);
    case 1:
        return bytes > 4096 + 200 ? 4096 + random_below(&m->random, 200) : 0;
    case 2:
        return bytes > 256 ? bytes - 1 - random_below(&m->random, 256) : 0;
    case 3: { /* near a key */
        size_t from = random_below(&m->random, bytes);
        const uint8_t *key = memmem(content + from, bytes - from, "a key ", 6);
        if (key != NULL && key - content > 48)
            return (size_t)(key - content) - 48 + random_below(&m->random, 60);
        return from;
    }
    default:
        return random_below(&m->random, bytes);
    }
}

/** a file to be damaged, the newest ones more often; false if there is none */
static bool choose(chance_t *m, char name[40], bool *is_newest)
{
    char names[200][40];
    const char *suffix = random_below(&m->random, 10) == 0 ? ".keys" : ".seg";
    size_t count = list_files(m, names, 200, suffix);
    if (count == 0)
        return false;
    qsort(names, count, sizeof(names[0]), by_name);
    size_t newest = count - 1 - (count > 1 && strcmp(names[count - 1], "next.seg") == 0);
    size_t at = random_below(&m->random, 4) == 0 ? newest : random_below(&m->random, count);
    snprintf(name, 40, "%s", names[at]);
    *is_newest = at >= newest;
    return true;
}

static void spoil(chance_t *m, const char *name, uint8_t *content, size_t at, size_t n)
{
    switch (random_below(&m->random, 4)) {
    case 0:
        say(m, "flipped", name, at, 1);
        content[at] ^= (uint8_t)(1u << random_below(&m->random, 8));
        break;
    case 1:
        say(m, "zeroed", name, at, n);
        memset(content + at, 0, n);
        break;
    case 2:
        say(m, "noise", name, at, n);
        random_fill(random_next(&m->random), content + at, n);
        break;
    default:
        say(m, "filled", name, at, n);
        memset(content + at, 0x5a, n);
    }
}

/** in the newest segment what is last may be taken for torn: how far it may be damaged */
static size_t end_of_proven(const uint8_t *content, size_t bytes)
{
    bool is_open = bytes == SEGMENT_BYTES &&
                   memcmp(content + bytes - CAIRN_SEGMENT_FOOTER_BYTES, "CAIRNEND", 8) != 0;
    if (!is_open)
        return bytes;
    while (bytes > 0 && content[bytes - 1] == 0)
        --bytes;
    return bytes > LAST_COMMITS_BYTES ? bytes - LAST_COMMITS_BYTES : 0;
}

static void damage_one(chance_t *m)
{
    char name[40], path[400];
    bool is_newest;
    size_t bytes;
    if (!choose(m, name, &is_newest))
        return;
    snprintf(path, sizeof(path), "%s/%s", m->f.options.path, name);
    if (random_below(&m->random, 12) == 0 && !is_newest) { /* STORE may not know of it yet */
        say(m, "lost", name, 0, 0);
        unlink(path);
        return;
    }
    uint8_t *content = read_file(path, &bytes);
    size_t end = end_of_proven(content, bytes);
    size_t n = 1 + random_below(&m->random, (uint64_t)1 << random_below(&m->random, 14));
    if (n < end) {
        size_t at = place(m, content, bytes);
        at = at + n > end ? end - n : at;
        bool is_cut = random_below(&m->random, 15) == 0;
        if (is_cut)
            say(m, "cut", name, at, 0);
        else
            spoil(m, name, content, at, n);
        chmod(path, 0600);
        unlink(path);
        write_file(path, content, is_cut ? at : bytes);
    }
    free(content);
}

/* ---------------------------------------------------------------- checking */

static bool is_said(const cairn_damage_t *d, uint64_t version)
{
    return d->lost_versions != 0 && version >= d->lost_first && version <= d->lost_last;
}

/** what a key gives is its last value or an error; or the store says that it may be older */
static bool is_right(chance_t *m, const known_t *k, cairn_err_t err, const cairn_value_t *value)
{
    uint64_t now = cairn_store_now_ms(m->f.store);
    bool has = k->exists && (k->expiry_ms == 0 || k->expiry_ms > now);
    if (err == CAIRN_ERR_DAMAGED || is_said(&m->told, k->version))
        return true;
    if (err != CAIRN_OK || !has)
        return err == CAIRN_ERR_NOT_FOUND && !has;
    return value->version == k->version && value->count == k->bytes &&
           memcmp(value->bytes, pool + k->seed, k->bytes) == 0;
}

static void complain(chance_t *m, const char *when, size_t key, cairn_err_t err, uint64_t version)
{
    ++m->wrong;
    printf("\n    %s: key %zu: error %d, version %llu; was written with %llu, gave error %d, "
           "version %llu",
           when, key, err, (unsigned long long)version, (unsigned long long)m->keys[key].version,
           m->errs[key], (unsigned long long)m->versions[key]);
}

/** `is_same`: nothing has been written since the last check */
static void check(chance_t *m, const char *when, bool is_same)
{
    uint64_t damaged = 0;
    cairn_store_damage(m->f.store, &m->told);
    for (size_t i = 0; i < KEYS; ++i) {
        char room[24];
        cairn_value_t value = {.version = 0};
        const known_t *k = &m->keys[i];
        cairn_err_t err = fixture_get(&m->f, key_of(i, room), &value);
        bool may_expire = k->expiry_ms != 0 || is_said(&m->told, k->version);
        bool has_changed = err != m->errs[i] || value.version != m->versions[i];
        damaged += err == CAIRN_ERR_DAMAGED;
        if (!is_right(m, k, err, &value) ||
            (is_same && has_changed && !(err == CAIRN_ERR_NOT_FOUND && may_expire)))
            complain(m, when, i, err, value.version);
        m->errs[i] = err;
        m->versions[i] = value.version;
    }
    if (damaged > m->told.lost_keys) {
        ++m->wrong;
        printf("\n    %s: %llu keys are damaged, it says %llu", when, (unsigned long long)damaged,
               (unsigned long long)m->told.lost_keys);
    }
}

/* ---------------------------------------------------------------- histories */

static void begin(chance_t *m, uint64_t number)
{
    memset(m, 0, sizeof(*m));
    later_undo();
    m->random = random_from(seed_of_run(), number);
    fixture_init(&m->f, TEMP_DIR_IN_MEMORY);
    m->f.options.no_compaction = false;
    m->f.options.upkeep_by_hand = true;
    m->f.options.checkpoint_bytes = number % 2 == 0 ? (uint64_t)128 << 10 : 0;
    m->f.options.segment_bytes = SEGMENT_BYTES;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&m->f), CAIRN_OK);
    waiter_init(&m->waiter);
}

static void write_history(chance_t *m)
{
    uint64_t steps = 20 + random_below(&m->random, 300);
    for (uint64_t i = 0; i < steps; ++i)
        step(m);
    for (size_t i = 0; i < 2; ++i) { /* no batch is what comes last and is not proven yet */
        known_t after;
        cairn_write_t *write = frame(m, i, CAIRN_WRITE_PUT, &after);
        CU_ASSERT_EQUAL_FATAL(cairn_store_submit(m->f.store, write), CAIRN_OK);
        waiter_take(&m->waiter, 1);
        take_over(m, i, write, after);
    }
    if (random_below(&m->random, 2) == 0)
        die(m);
    else
        fixture_close(&m->f);
}

static void salvage(chance_t *m, bool is_damaged)
{
    m->f.options.salvage = true;
    open_again(m);
    m->f.options.salvage = false;
    check(m, "salvaged", false);
    bool is_degraded =
        m->told.lost_keys != 0 || m->told.lost_versions != 0 || m->told.quarantined != 0;
    m->wrong += !is_damaged && is_degraded;
    fixture_close(&m->f);
}

/** a restart without the flag, and what upkeep does; what is lost stays as it is */
static void live_on(chance_t *m, const char *when)
{
    cairn_damage_t before = m->told;
    open_again(m);
    for (int i = 0; i < 3; ++i) {
        if (strcmp(when, "compacted") == 0)
            cairn_store_compact(m->f.store);
        cairn_store_upkeep(m->f.store);
        cairn_thread_quiescent();
    }
    check(m, when, true);
    bool is_as_before =
        m->told.lost_versions == before.lost_versions && m->told.lost_first == before.lost_first &&
        m->told.lost_last == before.lost_last && m->told.lost_keys <= before.lost_keys;
    if (!is_as_before)
        printf("\n    %s: it says something else of what is lost", when);
    m->wrong += !is_as_before;
    fixture_close(&m->f);
}

static void mend(chance_t *m)
{
    open_again(m);
    for (int i = 0; i < KEYS; ++i)
        write_one(m);
    check(m, "written", false);
    fixture_close(&m->f);
}

/** whether all went well */
static bool run(uint64_t number)
{
    static chance_t m;
    uint64_t places = number % 17 == 0 ? 0 : 1 + number % 3;
    begin(&m, number);
    write_history(&m);
    for (uint64_t i = 0; i < places; ++i)
        damage_one(&m);
    salvage(&m, places != 0);
    live_on(&m, "restarted");
    live_on(&m, "compacted");
    mend(&m);
    live_on(&m, "compacted");
    if (m.wrong != 0)
        printf("\n    CAIRN_SEED=%llu, history %llu:%s\n    ", (unsigned long long)seed_of_run(),
               (unsigned long long)number, m.what);
    waiter_dispose(&m.waiter);
    fixture_dispose(&m.f);
    return m.wrong == 0;
}

static void whatever_the_store_and_the_damage(void)
{
    random_fill(7, pool, sizeof(pool));
    for (uint64_t i = 0; i < (is_soak() ? HISTORIES_SOAK : HISTORIES); ++i)
        CU_ASSERT(run(i));
}

static int set_up(void)
{
    fault_os_install();
    later_install();
    return 0;
}

static int tear_down(void)
{
    later_remove();
    fault_os_remove();
    return 0;
}

void suite_salvage_chance(void)
{
    CU_pSuite s = CU_add_suite("salvage: by chance", set_up, tear_down);
    CU_add_test(s, "whatever the store and the damage", whatever_the_store_and_the_damage);
}
