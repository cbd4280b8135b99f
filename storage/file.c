/*
 * storage/file.c - writing a file whole, and what it means when that fails.
 */
#include "storage/file.h"

#include <errno.h>

#include "storage/os.h"

cairn_err_t cairn_file_err_of(int64_t r)
{
    if (r >= 0)
        return CAIRN_OK;
    if (r == -ENOSPC || r == -EDQUOT || r == -EFBIG)
        return CAIRN_ERR_DISK_FULL;
    if (r == -EMFILE || r == -ENFILE)
        return CAIRN_ERR_NO_FILES;
    return r == -ENOMEM ? CAIRN_ERR_NOMEM : CAIRN_ERR_IO;
}

cairn_err_t cairn_file_write_all(int fd, const void *base, size_t count, uint64_t offset)
{
    while (count != 0) {
        struct iovec iov = {.iov_base = (void *)base, .iov_len = count};
        int64_t n = cairn_os->pwritev(fd, &iov, 1, offset);
        if (n <= 0)
            return n == 0 ? CAIRN_ERR_IO : cairn_file_err_of(n);
        base = (const uint8_t *)base + n;
        count -= (size_t)n;
        offset += (uint64_t)n;
    }
    return CAIRN_OK;
}
