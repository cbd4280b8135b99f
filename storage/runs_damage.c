/*
 * storage/runs_damage.c - what is proven of damaged records in segments that have no key table.
 *
 * There are few of them, if any: a list in the order of keys.
 */
#include <string.h>

#include "storage/keytable.h"
#include "storage/os.h"
#include "storage/runs.h"
#include "storage/walk.h"

static cairn_bytes_t key_of(const cairn_wound_t *wound)
{
    return (cairn_bytes_t){wound->key, wound->key_bytes};
}

static bool add(cairn_wounds_t *wounds, cairn_bytes_t key)
{
    cairn_wound_t *wound = cairn_os->alloc(sizeof(*wound) + key.count);
    if (wound == NULL)
        return false;
    cairn_wound_t **at = &wounds->first;
    while (*at != NULL && cairn_key_compare(key_of(*at), key) < 0)
        at = &(*at)->next;
    wound->next = *at;
    wound->key_bytes = key.count;
    memcpy(wound->key, key.base, key.count);
    *at = wound;
    return true;
}

static cairn_wounds_t *make(void)
{
    cairn_wounds_t *wounds = cairn_os->alloc(sizeof(*wounds));
    if (wounds == NULL)
        return NULL;
    *wounds = (cairn_wounds_t){.left_out = CAIRN_OK};
    atomic_init(&wounds->references, 1);
    return wounds;
}

cairn_err_t cairn_wounds_add(cairn_wounds_t **wounds, cairn_walk_t *walk, cairn_err_t err)
{
    uint64_t behind;
    if (*wounds == NULL && (*wounds = make()) == NULL)
        return CAIRN_ERR_NOMEM;
    cairn_walk_find_t found = cairn_walk_survey(walk, &behind);
    cairn_walk_step_over(walk);
    if (found == CAIRN_WALK_UNKNOWN)
        (*wounds)->left_out = err;
    if (found != CAIRN_WALK_RECORD && found != CAIRN_WALK_KEY)
        return CAIRN_OK;
    cairn_bytes_t key = {cairn_record_key(&walk->record), walk->record.key_bytes};
    return add(*wounds, key) ? CAIRN_OK : CAIRN_ERR_NOMEM;
}

bool cairn_wounds_copy(cairn_wounds_t **to, const cairn_wounds_t *from)
{
    *to = NULL;
    if (from == NULL)
        return true;
    if ((*to = make()) == NULL)
        return false;
    (*to)->left_out = from->left_out;
    for (const cairn_wound_t *wound = from->first; wound != NULL; wound = wound->next)
        if (!add(*to, key_of(wound))) {
            cairn_wounds_release(*to);
            *to = NULL;
            return false;
        }
    return true;
}

void cairn_wounds_release(cairn_wounds_t *wounds)
{
    /* acquire and release: what others read of it comes before its end */
    if (wounds == NULL ||
        atomic_fetch_sub_explicit(&wounds->references, 1, memory_order_acq_rel) != 1)
        return;
    for (cairn_wound_t *wound = wounds->first, *next; wound != NULL; wound = next) {
        next = wound->next;
        cairn_os->free(wound);
    }
    cairn_os->free(wounds);
}
