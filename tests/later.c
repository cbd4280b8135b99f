#include "tests/later.h"

#include <stdatomic.h>

#include "storage/os.h"

static _Atomic uint64_t ahead_ms, held_ms; /* 0: not held */
static const cairn_os_t *beneath;
static cairn_os_t table;

static uint64_t now_ms(void)
{
    return (held_ms != 0 ? held_ms : beneath->now_ms()) + ahead_ms;
}

static uint64_t coarse_ms(void)
{
    return beneath->coarse_ms() + ahead_ms;
}

void later_install(void)
{
    beneath = cairn_os;
    table = *beneath;
    table.now_ms = now_ms;
    table.coarse_ms = coarse_ms;
    ahead_ms = held_ms = 0;
    cairn_os = &table;
}

void later_remove(void)
{
    cairn_os = beneath;
}

void later_hold(void)
{
    held_ms = beneath->now_ms();
}

void later_by(uint64_t ms)
{
    ahead_ms += ms;
}

void later_undo(void)
{
    ahead_ms = 0;
}
