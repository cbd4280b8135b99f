/*
 * The files of this machine, and the values that are made of them.
 */
#include "tests/real_tree.h"

#include <CUnit/CUnit.h>

#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* git's rule: a NUL among the first bytes makes a file binary */
#define BINARY_LOOK_BYTES 8000
/* all files stay in memory, so that a package upgrade under way cannot look like damage */
#define TREE_BYTES_MAX ((size_t)4 << 30)
/* a sample has at least so many of each */
#define BINARY_FILES_MIN 32
#define LARGEST_FILES_MIN 4

static void file_dispose(real_file_t *file)
{
    free(file->path);
    free(file->target);
    free(file->bytes);
    *file = (real_file_t){0};
}

void real_tree_dispose(real_tree_t *tree)
{
    for (size_t i = 0; i != tree->count; ++i)
        file_dispose(&tree->files[i]);
    free(tree->files);
    *tree = (real_tree_t){0};
}

/* -1 when it cannot be read as a whole */
static ssize_t read_whole(const char *path, uint8_t *bytes, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    size_t count = 0;
    ssize_t got = -1;
    if (fd < 0)
        return -1;
    while (count != room && (got = read(fd, bytes + count, room - count)) > 0)
        count += (size_t)got;
    close(fd);
    return got < 0 && count != room ? -1 : (ssize_t)count;
}

/* false when it cannot be read, or has changed its size meanwhile */
static bool file_load(real_file_t *file, const char *path, size_t count)
{
    *file = (real_file_t){.path = strdup(path), .bytes = malloc(count + 1), .count = count};
    CU_ASSERT_FATAL(file->path != NULL && file->bytes != NULL);
    if (read_whole(path, file->bytes, count + 1) != (ssize_t)count) {
        file_dispose(file);
        return false;
    }
    size_t look = count < BINARY_LOOK_BYTES ? count : BINARY_LOOK_BYTES;
    file->is_binary = memchr(file->bytes, '\0', look) != NULL;
    file->target = http_target("/v1/kv/", path, strlen(path));
    CU_ASSERT_PTR_NOT_NULL_FATAL(file->target);
    return true;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

void real_tree_load(real_tree_t *tree, size_t file_bytes_max)
{
    char include[] = "/usr/include", doc[] = "/usr/share/doc";
    char *roots[] = {include, doc, NULL};
    size_t room = 0;
    FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fts);
    for (FTSENT *entry; (entry = fts_read(fts)) != NULL;) {
        if (entry->fts_info != FTS_F || (size_t)entry->fts_statp->st_size > file_bytes_max)
            continue;
        if (tree->bytes + (size_t)entry->fts_statp->st_size > TREE_BYTES_MAX) {
            printf("\n    the tree is larger than %zu bytes: the rest is left out", TREE_BYTES_MAX);
            break;
        }
        if (tree->count == room) {
            room = room != 0 ? 2 * room : 1024;
            tree->files = realloc(tree->files, room * sizeof(*tree->files));
            CU_ASSERT_PTR_NOT_NULL_FATAL(tree->files);
        }
        real_file_t *file = &tree->files[tree->count];
        if (file_load(file, entry->fts_path, (size_t)entry->fts_statp->st_size)) {
            tree->bytes += file->count;
            tree->binary_count += file->is_binary;
            ++tree->count;
        }
    }
    fts_close(fts);
}

static void swap_files(real_file_t *a, real_file_t *b)
{
    real_file_t kept = *a;
    *a = *b;
    *b = kept;
}

static void shuffle(real_file_t *files, size_t count, random_t *random)
{
    for (size_t i = count; i > 1; --i)
        swap_files(&files[i - 1], &files[random_below(random, i)]);
}

/* moves up to `wanted` files after the first `from` that are binary to their end; returns it */
static size_t choose_binary(real_tree_t *tree, size_t from, size_t wanted)
{
    size_t to = from;
    for (size_t i = from; i < tree->count && to - from < wanted; ++i)
        if (tree->files[i].is_binary)
            swap_files(&tree->files[i], &tree->files[to++]);
    return to;
}

static size_t choose_largest(real_tree_t *tree, size_t from, size_t wanted)
{
    size_t to = from;
    for (; to < tree->count && to - from < wanted; ++to) {
        size_t largest = to;
        for (size_t i = to; i < tree->count; ++i)
            if (tree->files[i].count > tree->files[largest].count)
                largest = i;
        swap_files(&tree->files[largest], &tree->files[to]);
    }
    return to;
}

void real_tree_sample(real_tree_t *tree, size_t files_max, size_t bytes_max, random_t *random)
{
    shuffle(tree->files, tree->count, random);
    size_t at = choose_largest(tree, 0, LARGEST_FILES_MIN);
    size_t kept = choose_binary(tree, at, BINARY_FILES_MIN);
    size_t bytes = 0, binary_count = 0;
    for (at = 0; at != tree->count; ++at) {
        real_file_t *file = &tree->files[at];
        if (at < kept || (at < files_max && bytes + file->count <= bytes_max)) {
            bytes += file->count;
            binary_count += file->is_binary;
        } else {
            break;
        }
    }
    for (size_t i = at; i != tree->count; ++i)
        file_dispose(&tree->files[i]);
    tree->count = at;
    tree->bytes = bytes;
    tree->binary_count = binary_count;
    shuffle(tree->files, tree->count, random); /* the large ones are not all first in line */
}

/*
 * The first round puts a file as it is. Later ones put a label before it, of another length each
 * time, so that the bytes of two rounds agree at no offset and a mixture shows.
 */
static size_t label(unsigned round, char out[REAL_FILE_LABEL_BYTES_MAX])
{
    if (round == 1)
        return 0;
    unsigned dots = round % 37;
    int count = snprintf(out, REAL_FILE_LABEL_BYTES_MAX, "round %u%.*s\n", round, (int)dots,
                         ".....................................");
    return (size_t)count;
}

uint8_t *real_file_make_value(const real_file_t *file, unsigned round, size_t *count)
{
    char text[REAL_FILE_LABEL_BYTES_MAX];
    size_t label_bytes = label(round, text);
    uint8_t *value = malloc(label_bytes + file->count + 1);
    if (value == NULL)
        abort();
    memcpy(value, text, label_bytes);
    memcpy(value + label_bytes, file->bytes, file->count);
    *count = label_bytes + file->count;
    return value;
}

bool real_file_is_value(const real_file_t *file, unsigned round, const http_response_t *res)
{
    char text[REAL_FILE_LABEL_BYTES_MAX];
    size_t label_bytes = label(round, text);
    return res->body_bytes == label_bytes + file->count &&
           memcmp(res->body, text, label_bytes) == 0 &&
           memcmp(res->body + label_bytes, file->bytes, file->count) == 0;
}
