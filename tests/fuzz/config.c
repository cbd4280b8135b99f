/*
 * tests/fuzz/config.c - a config file.
 */
#include "server/config.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static int fd = -1;
    static char path[64];
    char errmsg[CAIRN_CONFIG_ERRMSG_BYTES] = "";
    cairn_config_t config;
    if (fd < 0) {
        fd = memfd_create("config", MFD_CLOEXEC);
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    }
    MUST(ftruncate(fd, 0) == 0 && pwrite(fd, bytes, count, 0) == (ssize_t)count);
    cairn_config_init(&config);
    bool is_good = cairn_config_load(&config, path, errmsg, sizeof(errmsg)) &&
                   cairn_config_finish(&config, errmsg, sizeof(errmsg));
    MUST(is_good || errmsg[0] != '\0');
    cairn_config_dispose(&config);
    return 0;
}
