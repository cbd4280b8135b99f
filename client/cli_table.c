/*
 * client/cli_table.c - every command there is: what it takes, and how it is explained.
 *
 * `cairn help`, each --help, the man page and the completion follow from this table; the tests hold
 * the latter two to it.
 */
#include "client/cli_internal.h"

#define WRITE_OPTIONS                                                                              \
    (CLI_CONNECTION | CLI_BIT(JSON) | CLI_BIT(TTL) | CLI_BIT(IF_VERSION) | CLI_BIT(IF_ABSENT) |    \
     CLI_BIT(IF_PRESENT) | CLI_BIT(ASYNC))
#define VALUE_OPTIONS (WRITE_OPTIONS | CLI_BIT(FILE) | CLI_BIT(TYPE) | CLI_BIT(META))
#define LIST_OPTIONS (CLI_CONNECTION | CLI_BIT(JSON) | CLI_BIT(PREFIX) | CLI_BIT(LIMIT))

/* clang-format off */

const cli_option_t cli_options[CLI_OPTION_COUNT] = {
#define X(id, name, value, help) {name, value, help},
    CLI_OPTIONS(X)
#undef X
};

const cli_command_t cli_commands[] = {
    {"serve", "[--config FILE] [--data DIR] [--OPTION VALUE]...",
     "run the server", NULL, 0, 0, 0, NULL},
    {"verify", "DIR [--dump SEGMENT] [--json]",
     "check a store that no server has open, to the last byte", NULL, 0, 0, 0, NULL},
    {"get", "KEY [--output FILE] [--json]",
     "print a value",
     "Prints the bytes of the value as they are. --json prints them with version, content type,\n"
     "expiry and metadata. Exit status 1 if there is no such key.\n"
     "\n"
     "  cairn get greeting\n"
     "  cairn get photos/cat.jpg --output cat.jpg\n"
     "  cairn get config --json | jq .version\n",
     CLI_CONNECTION | CLI_BIT(JSON) | CLI_BIT(OUTPUT), 1, 1, cli_get},
    {"set", "KEY [VALUE] [--file FILE] [--ttl TIME] ...",
     "store a value",
     "The value is the second argument, a file, or else standard input. When the command ends with\n"
     "status 0 the value is on disk. Conditions are decided by the server at the moment of the\n"
     "write: of many that race with --if-absent exactly one wins, the others end with status 1.\n"
     "\n"
     "  cairn set greeting hello\n"
     "  cairn set photos/cat.jpg --file cat.jpg --type image/jpeg\n"
     "  mysqldump shop | cairn set backup/shop\n"
     "  cairn set lock/deploy $HOSTNAME --if-absent --ttl 10m\n",
     VALUE_OPTIONS, 1, 2, cli_set},
    {"append", "KEY [VALUE] [--file FILE] ...",
     "add to the end of a value",
     "As set; what is given is added to what is there, in one step that no other write can come\n"
     "between. A missing key is created.\n"
     "\n"
     "  date | cairn append log/today\n",
     VALUE_OPTIONS, 1, 2, cli_append},
    {"del", "KEY... [--if-version N] [--json]",
     "remove keys",
     "Exit status 1 if one of them was not there; the others are removed all the same.\n"
     "\n"
     "  cairn del greeting photos/cat.jpg\n"
     "  cairn ls tmp/ | xargs -d '\\n' cairn del\n",
     CLI_CONNECTION | CLI_BIT(JSON) | CLI_BIT(IF_VERSION) | CLI_BIT(ASYNC), 1, 1 << 30, cli_del},
    {"incr", "KEY [BY] [--ttl TIME]",
     "count",
     "Adds BY (1; it may be negative) to the number that the key has, a missing one counting as 0,\n"
     "and prints the sum. Exit status 5 if the value is no number, or the sum does not fit 64 bits.\n"
     "\n"
     "  cairn incr visits\n"
     "  cairn incr stock/7 -3\n",
     WRITE_OPTIONS, 1, 2, cli_incr},
    {"ls", "[PREFIX] [--long] [--limit N] [--values] [--json]",
     "list keys in byte order",
     "--long adds version, size and expiry. Control bytes and what is not UTF-8 is shown as \\xNN;\n"
     "--json gives keys as they are, with key_b64 for those that are not UTF-8.\n"
     "\n"
     "  cairn ls\n"
     "  cairn ls photos/ --long --limit 20\n"
     "  cairn ls --json | jq -r .key\n",
     LIST_OPTIONS | CLI_BIT(AFTER) | CLI_BIT(LONG) | CLI_BIT(VALUES) | CLI_BIT(PARTIAL), 0, 1,
     cli_ls},
    {"scan", "TEXT [--prefix TEXT] [--limit N] [--json]",
     "find values that contain a text, by reading them all",
     "The slow way, in no order: it walks through everything that is stored. A key that is known is\n"
     "found at once with get.\n"
     "\n"
     "  cairn scan 'needle' --prefix logs/\n",
     LIST_OPTIONS | CLI_BIT(PARTIAL), 1, 1, cli_scan},
    {"watch", "[PREFIX] [--since VERSION] [--values] [--once] [--json]",
     "print what changes, as it happens",
     "Goes on over breaks and restarts of the server, until Ctrl-C. Without --since it begins now;\n"
     "with --since 0 it tells the newest state of every key first. --once ends when all there is has\n"
     "been told.\n"
     "\n"
     "  cairn watch\n"
     "  cairn watch orders/ --since 0 --values --json | while read -r line; do ...; done\n",
     LIST_OPTIONS | CLI_BIT(SINCE) | CLI_BIT(VALUES) | CLI_BIT(ONCE), 0, 1, cli_watch},
    {"import", "[FILE | DIR] [--prefix TEXT] [--jobs N] [--json]",
     "store many values, from NDJSON or a directory tree",
     "A file (or standard input) has a value a line, as export writes them:\n"
     "  {\"key\":\"a\",\"value\":\"text\",\"content_type\":\"text/plain\"}\n"
     "with key_b64 and value_b64 for what is not UTF-8; content_encoding, cache_control, meta (a list\n"
     "of {\"name\":\"author\",\"value\":\"Ada\"}) and expires (milliseconds since 1970) as they are\n"
     "given. Of a directory every file becomes a value, its path below the directory the key. Values\n"
     "travel in batches over several connections; the last line of a key wins. Running it again is\n"
     "harmless.\n"
     "\n"
     "  cairn import backup.ndjson\n"
     "  cairn import ./public --prefix www/\n"
     "  zcat dump.ndjson.gz | cairn import\n",
     CLI_CONNECTION | CLI_BIT(JSON) | CLI_BIT(PREFIX) | CLI_BIT(JOBS) | CLI_BIT(QUIET), 0, 1,
     cli_import},
    {"export", "[FILE | DIR/] [--prefix TEXT] [--json]",
     "write many values to NDJSON or a directory tree",
     "To a file, to standard output, or, for a directory or a name that ends in \"/\", a file for each\n"
     "key; --prefix is taken away from the paths then. A key that is no path (\"a//b\", \"../x\") is told\n"
     "and left out. NDJSON has all that is stored with a value, and when it expires; a file has the\n"
     "bytes only. Keys written meanwhile may or may not be in it: for a backup as of one moment take\n"
     "a snapshot.\n"
     "\n"
     "  cairn export backup.ndjson\n"
     "  cairn export --prefix www/ ./public/\n"
     "  cairn export | gzip >dump.ndjson.gz\n",
     CLI_CONNECTION | CLI_BIT(JSON) | CLI_BIT(PREFIX) | CLI_BIT(QUIET) | CLI_BIT(PARTIAL), 0, 1,
     cli_export},
    {"snapshot", "[NAME] [--json]",
     "make a consistent copy of everything, at once",
     "The server links its files into snapshots/NAME of its data directory (NAME is the date\n"
     "unless given): no bytes are copied, whatever the size. The copy is as of one moment.\n"
     "\n"
     "  cairn snapshot before-upgrade\n"
     "  rsync -a /var/lib/cairn/snapshots/before-upgrade/ backup:/srv/cairn/before-upgrade/\n",
     CLI_CONNECTION | CLI_BIT(JSON), 0, 1, cli_snapshot},
    {"restore", "SNAPSHOT DIR [--link] [--json]",
     "put a snapshot into an empty data directory",
     "Copies the files of a snapshot, verifies every byte, and says how to start on them. --link\n"
     "takes no time and no room, but then a damaged block is damaged in both.\n"
     "\n"
     "  cairn restore /backup/before-upgrade /var/lib/cairn-new\n"
     "  cairn serve --data /var/lib/cairn-new\n",
     CLI_BIT(JSON) | CLI_BIT(LINK) | CLI_BIT(QUIET), 2, 2, cli_restore},
    {"compact", "[--json]",
     "give the room of what was replaced and deleted back to the disk",
     "The server does so by itself when it is worth it; this has it rewrite every full segment in\n"
     "which there is anything to free, and waits until it has. Ctrl-C ends the waiting only.\n"
     "\n"
     "  cairn compact\n",
     CLI_CONNECTION | CLI_BIT(JSON) | CLI_BIT(QUIET), 0, 0, cli_compact},
    {"stats", "[--json]",
     "print how a server is",
     "  cairn stats\n"
     "  cairn stats --json | jq .keys\n",
     CLI_CONNECTION | CLI_BIT(JSON), 0, 0, cli_stats},
    {"top", "[--interval TIME] [--count N] [--json]",
     "watch what a server does: rates, latencies, segments",
     "A screen that is drawn anew at each interval, until Ctrl-C. A latency is the upper end of its\n"
     "histogram bucket, each twice as wide as the one before. --json prints a line for each interval.\n"
     "\n"
     "  cairn top\n"
     "  cairn top --interval 10s --count 6 >minute.txt\n",
     CLI_CONNECTION | CLI_BIT(JSON) | CLI_BIT(INTERVAL) | CLI_BIT(COUNT), 0, 0, cli_top},
    {"plan", "--keys N [--key-bytes SIZE] [--value-bytes SIZE] [--json]",
     "say what a store of some size will take",
     "Memory, disk and start-up time to expect, from what has been measured.\n"
     "\n"
     "  cairn plan --keys 100M --key-bytes 24 --value-bytes 1KiB\n",
     CLI_BIT(KEYS) | CLI_BIT(KEY_BYTES) | CLI_BIT(VALUE_BYTES) | CLI_BIT(JSON), 0, 0, cli_plan},
    {"help", "[COMMAND]",
     "explain a command, with examples",
     "  cairn help set\n",
     0, 0, 1, cli_help},
    {NULL, NULL, NULL, NULL, 0, 0, 0, NULL},
};
