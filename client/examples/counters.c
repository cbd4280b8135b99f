/*
 * Several threads count, each with a handle of its own; then two values change together.
 *
 *     cc counters.c -o counters $(pkg-config --cflags --libs cairn) -pthread && ./counters
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <cairn.h>

#define THREADS 4
#define COUNTS 25

static void *count(void *failed)
{
    cairn_client_t *db = cairn_connect("localhost", 8080);
    for (int i = 0; i < COUNTS; ++i)
        if (cairn_incr(db, "visits", 1, NULL) != CAIRN_CLIENT_OK) {
            fprintf(stderr, "%s\n", cairn_client_message(db));
            *(bool *)failed = true;
            break;
        }
    cairn_disconnect(db);
    return NULL;
}

/** moves 10 from one account to another, or does nothing at all */
static int move_money(cairn_client_t *db)
{
    cairn_client_batch_t *batch = cairn_batch_create();
    cairn_batch_incr(batch, "account/a", strlen("account/a"), -10, NULL);
    cairn_batch_incr(batch, "account/b", strlen("account/b"), 10, NULL);
    cairn_client_err_t err = cairn_batch_run(db, batch, true);
    if (err == CAIRN_CLIENT_OK)
        printf("a has %" PRId64 ", b has %" PRId64 "\n", cairn_batch_result(batch, 0)->number,
               cairn_batch_result(batch, 1)->number);
    else
        fprintf(stderr, "%s\n", cairn_client_message(db));
    cairn_batch_destroy(batch);
    return err == CAIRN_CLIENT_OK ? 0 : 1;
}

int main(void)
{
    pthread_t threads[THREADS];
    bool failed[THREADS] = {false};
    int64_t visits = 0;

    for (int i = 0; i < THREADS; ++i)
        pthread_create(&threads[i], NULL, count, &failed[i]);
    for (int i = 0; i < THREADS; ++i)
        pthread_join(threads[i], NULL);
    cairn_client_t *db = cairn_connect("localhost", 8080);
    cairn_incr(db, "visits", 0, &visits);
    printf("%" PRId64 " visits\n", visits);
    int status = visits >= THREADS * COUNTS ? move_money(db) : 1;
    cairn_disconnect(db);
    return status;
}
