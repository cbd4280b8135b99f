/*
 * storage/reserve.c - room on the disk that is kept for compaction.
 */
#include "storage/reserve.h"

#include <fcntl.h>

#include "storage/file.h"
#include "storage/os.h"

void cairn_reserve_init(cairn_reserve_t *reserve, const cairn_dir_t *dir, uint64_t bytes)
{
    *reserve = (cairn_reserve_t){.dir = dir, .bytes = bytes};
    pthread_mutex_init(&reserve->mutex, NULL);
}

void cairn_reserve_dispose(cairn_reserve_t *reserve)
{
    pthread_mutex_destroy(&reserve->mutex);
}

/** a file that is there already, perhaps shorter, is made as long as is wanted */
static cairn_err_t make_file(const cairn_reserve_t *reserve)
{
    int fd = cairn_os->open(reserve->dir->fd, CAIRN_RESERVE_NAME, O_RDWR | O_CREAT);
    if (fd < 0)
        return cairn_file_err_of(fd);
    int made = cairn_os->preallocate(fd, reserve->bytes);
    cairn_os->close(fd);
    if (made < 0)
        cairn_os->unlink(reserve->dir->fd, CAIRN_RESERVE_NAME);
    return cairn_file_err_of(made);
}

static bool there_is_none(const cairn_reserve_t *reserve)
{
    return reserve->dir == NULL || cairn_dir_is_memory(reserve->dir);
}

cairn_err_t cairn_reserve_hold(cairn_reserve_t *reserve)
{
    cairn_err_t err = CAIRN_OK;
    if (there_is_none(reserve))
        return CAIRN_OK;
    pthread_mutex_lock(&reserve->mutex);
    if (reserve->is_lent)
        err = CAIRN_ERR_DISK_FULL;
    else if (!reserve->is_held)
        err = make_file(reserve);
    reserve->is_held |= err == CAIRN_OK;
    pthread_mutex_unlock(&reserve->mutex);
    return err;
}

void cairn_reserve_lend(cairn_reserve_t *reserve)
{
    if (there_is_none(reserve))
        return;
    pthread_mutex_lock(&reserve->mutex);
    cairn_os->unlink(reserve->dir->fd, CAIRN_RESERVE_NAME);
    reserve->is_held = false;
    reserve->is_lent = true;
    pthread_mutex_unlock(&reserve->mutex);
}

void cairn_reserve_return(cairn_reserve_t *reserve)
{
    pthread_mutex_lock(&reserve->mutex);
    reserve->is_lent = false;
    pthread_mutex_unlock(&reserve->mutex);
}
