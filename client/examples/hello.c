/*
 * Connect, set, get. Build and run beside a cairn on port 8080:
 *
 *     cc hello.c -o hello $(pkg-config --cflags --libs cairn) && ./hello
 */
#include <stdio.h>

#include <cairn.h>

int main(void)
{
    cairn_client_t *db = cairn_connect("localhost", 8080);
    cairn_set(db, "greeting", "hello");
    const char *value = cairn_get(db, "greeting");

    puts(value != NULL ? value : cairn_client_message(db));
    cairn_disconnect(db);
    return value != NULL ? 0 : 1;
}
