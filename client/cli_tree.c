/*
 * client/cli_tree.c - a directory tree becomes keys: path -> key, bytes -> value.
 */
#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "client/cli_internal.h"
#include "client/client_internal.h"

typedef struct st_tree_t {
    const cli_t *cli;
    cli_loader_t *loader;
    size_t root_bytes; /* of a path, before the key begins */
    cairn_client_buffer_t key, value;
    uint64_t skipped; /* what is no regular file: links, devices, sockets */
    int status;
} tree_t;

/** what a browser should take the file for; NULL for bytes */
static const char *type_of(const char *path)
{
    static const struct {
        const char *suffix, *type;
    } types[] = {
        {".html", "text/html; charset=utf-8"},
        {".css", "text/css; charset=utf-8"},
        {".js", "text/javascript"},
        {".json", "application/json"},
        {".txt", "text/plain; charset=utf-8"},
        {".md", "text/markdown; charset=utf-8"},
        {".xml", "application/xml"},
        {".svg", "image/svg+xml"},
        {".png", "image/png"},
        {".jpg", "image/jpeg"},
        {".jpeg", "image/jpeg"},
        {".gif", "image/gif"},
        {".webp", "image/webp"},
        {".pdf", "application/pdf"},
        {".wasm", "application/wasm"},
        {".woff2", "font/woff2"},
    };
    const char *name = strrchr(path, '/'), *dot = strrchr(name != NULL ? name : path, '.');
    for (size_t i = 0; dot != NULL && i < sizeof(types) / sizeof(types[0]); ++i)
        if (strcasecmp(dot, types[i].suffix) == 0)
            return types[i].type;
    return NULL;
}

static FTS *open_tree(const char *root)
{
    char *roots[] = {(char *)root, NULL};
    return fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
}

/** bytes of all regular files, for the progress */
static double tree_bytes(const char *root)
{
    double bytes = 0;
    FTS *fts = open_tree(root);
    for (FTSENT *entry; fts != NULL && (entry = fts_read(fts)) != NULL;)
        if (entry->fts_info == FTS_F)
            bytes += (double)entry->fts_statp->st_size;
    if (fts != NULL)
        fts_close(fts);
    return bytes;
}

static bool read_file(tree_t *tree, const char *path)
{
    char piece[65536];
    FILE *in = fopen(path, "re");
    cairn_client_buffer_clear(&tree->value);
    for (size_t n; in != NULL && (n = fread(piece, 1, sizeof(piece), in)) != 0;)
        cairn_client_buffer_add(&tree->value, piece, n);
    bool is_read = in != NULL && ferror(in) == 0 && !tree->value.is_broken;
    if (!is_read) {
        tree->status = cli_failure(tree->cli, "%s: %s", path, strerror(errno));
        tree->value.is_broken = false;
    }
    if (in != NULL)
        fclose(in);
    return is_read;
}

/** false when there is no use in going on */
static bool import_one(tree_t *tree, const char *path)
{
    const char *prefix = tree->cli->values[CLI_PREFIX];
    cairn_client_write_t how = {.content_type = type_of(path)};
    if (!read_file(tree, path))
        return true; /* told; the others are imported all the same */
    cairn_client_buffer_clear(&tree->key);
    if (prefix != NULL)
        cairn_client_buffer_add(&tree->key, prefix, strlen(prefix));
    cairn_client_buffer_add(&tree->key, path + tree->root_bytes, strlen(path + tree->root_bytes));
    return cli_loader_put(tree->loader, tree->key.bytes, tree->key.count, tree->value.bytes,
                          tree->value.count, &how, &(cli_source_t){.bytes = tree->value.count});
}

static void walk(tree_t *tree, FTS *fts)
{
    FTSENT *entry;
    while ((entry = fts_read(fts)) != NULL) {
        switch (entry->fts_info) {
        case FTS_F:
            if (!import_one(tree, entry->fts_path))
                return;
            break;
        case FTS_D:
        case FTS_DP:
            break;
        case FTS_DNR:
        case FTS_ERR:
        case FTS_NS:
            tree->status =
                cli_failure(tree->cli, "%s: %s", entry->fts_path, strerror(entry->fts_errno));
            break;
        default:
            ++tree->skipped;
        }
    }
}

int cli_import_tree(cli_t *cli, const char *root)
{
    cli_progress_t progress;
    size_t root_bytes = strlen(root);
    while (root_bytes > 1 && root[root_bytes - 1] == '/')
        --root_bytes;
    char *trimmed = strndup(root, root_bytes);
    FTS *fts = trimmed != NULL ? open_tree(trimmed) : NULL;
    if (fts == NULL) {
        free(trimmed);
        return cli_failure(cli, "%s: %s", root, strerror(errno));
    }
    cli_progress_begin(cli, &progress, "files", tree_bytes(trimmed));
    tree_t tree = {.cli = cli,
                   .loader = cli_loader_start(cli, NULL, &progress),
                   .root_bytes = root_bytes + (strcmp(trimmed, "/") != 0)};
    int status = CLI_USAGE;
    if (tree.loader != NULL) {
        walk(&tree, fts);
        status = cli_loader_finish(tree.loader);
        status = status != CLI_OK ? status : tree.status;
        cli_progress_end(&progress);
        if (cli_has(cli, CLI_JSON))
            cli_progress_print_json(&progress);
    }
    if (tree.skipped != 0)
        fprintf(stderr, "%llu links and other things that are no files were left out\n",
                (unsigned long long)tree.skipped);
    cairn_client_buffer_dispose(&tree.key);
    cairn_client_buffer_dispose(&tree.value);
    fts_close(fts);
    free(trimmed);
    return status;
}
