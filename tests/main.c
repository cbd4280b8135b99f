/*
 * tests/main.c - runs every suite, or those named on the command line.
 */
#include "tests/suites.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "tests/staged_site.h"

typedef struct st_suite_t {
    const char *name;
    void (*add)(void);
} suite_t;

static const suite_t suites[] = {
    {"units", suite_units},
    {"config", suite_config},
    {"config_tokens", suite_config_tokens},
    {"cli", suite_cli},
    {"index", suite_index},
    {"index_model", suite_index_model},
    {"index_races", suite_index_races},
    {"index_dump", suite_index_dump},
    {"dir", suite_dir},
    {"scan", suite_scan},
    {"meta", suite_meta},
    {"record", suite_record},
    {"store", suite_store},
    {"commit", suite_commit},
    {"reopen", suite_reopen},
    {"refusal", suite_refusal},
    {"overlay", suite_overlay},
    {"decide", suite_decide},
    {"decide_values", suite_decide_values},
    {"decide_model", suite_decide_model},
    {"keytable", suite_keytable},
    {"listing", suite_listing},
    {"listing_damage", suite_listing_damage},
    {"http_listing", suite_http_listing},
    {"feed", suite_feed},
    {"feed_model", suite_feed_model},
    {"snapshot", suite_snapshot},
    {"faults", suite_faults},
    {"fault_states", suite_fault_states},
    {"checkpoint", suite_checkpoint},
    {"checkpoint_load", suite_checkpoint_load},
    {"checkpoint_tables", suite_checkpoint_tables},
    {"power_cut", suite_power_cut},
    {"damage", suite_damage},
    {"read_errors", suite_read_errors},
    {"real_disk", suite_real_disk},
    {"verify", suite_verify},
    {"scrub", suite_scrub},
    {"suspect", suite_suspect},
    {"salvage", suite_salvage},
    {"salvage_chance", suite_salvage_chance},
    {"salvage_leftovers", suite_salvage_leftovers},
    {"salvage_store", suite_salvage_store},
    {"salvage_unsteady", suite_salvage_unsteady},
    {"salvaged", suite_salvaged},
    {"batch", suite_batch},
    {"batch_crash", suite_batch_crash},
    {"existed", suite_existed},
    {"pace", suite_pace},
    {"compaction", suite_compaction},
    {"compaction_faults", suite_compaction_faults},
    {"room", suite_room},
    {"compaction_hazards", suite_compaction_hazards},
    {"http_client", suite_http_client},
    {"server_process", suite_server_process},
    {"target", suite_target},
    {"conditions", suite_conditions},
    {"http_values", suite_http_values},
    {"http_keys", suite_http_keys},
    {"http_connections", suite_http_connections},
    {"http_pipelines", suite_http_pipelines},
    {"http_pipeline_storm", suite_http_pipeline_storm},
    {"http_conditions", suite_http_conditions},
    {"http_contract", suite_http_contract},
    {"batch_gets", suite_batch_gets},
    {"http_batch", suite_http_batch},
    {"http_batch_refusals", suite_http_batch_refusals},
    {"http_batch_atomic", suite_http_batch_atomic},
    {"http_batch_large", suite_http_batch_large},
    {"followers", suite_followers},
    {"http_changes", suite_http_changes},
    {"http_streams", suite_http_streams},
    {"http_snapshot", suite_http_snapshot},
    {"rsync", suite_rsync},
    {"http_tutorial", suite_http_tutorial},
    {"openapi", suite_openapi},
    {"openapi_codes", suite_openapi_codes},
    {"http_pages", suite_http_pages},
    {"http_status", suite_http_status},
    {"http_figures", suite_http_figures},
    {"http_faults", suite_http_faults},
    {"http_expiry", suite_http_expiry},
    {"http_framing", suite_http_framing},
    {"http_spelling", suite_http_spelling},
    {"http_hostile", suite_http_hostile},
    {"http_limits", suite_http_limits},
    {"auth", suite_auth},
    {"access_log", suite_access_log},
    {"serve", suite_serve},
    {"listen", suite_listen},
    {"tls", suite_tls},
    {"restart", suite_restart},
    {"systemd", suite_systemd},
    {"reload", suite_reload},
    {"takeover", suite_takeover},
    {"haproxy", suite_haproxy},
    {"real_tree", suite_real_tree},
    {"history", suite_history},
    {"beside", suite_beside},
    {"client", suite_client},
    {"client_faults", suite_client_faults},
    {"install", suite_install},
    {"tutorial", suite_tutorial},
    {"configs", suite_configs},
    {"command", suite_command},
    {"terminal", suite_terminal},
};

static bool is_wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; ++i)
        if (strcmp(argv[i], name) == 0)
            return true;
    return argc == 1;
}

int main(int argc, char **argv)
{
    unsigned wanted = 0;
    int status;
    if (staged_site_is_server(argc, argv, &status))
        return status;
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); ++i)
        if (is_wanted(suites[i].name, argc, argv)) {
            suites[i].add();
            ++wanted;
        }
    if (wanted == 0) {
        fprintf(stderr, "no such suite; there are:");
        for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); ++i)
            fprintf(stderr, " %s", suites[i].name);
        fprintf(stderr, "\n");
        return 1;
    }
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    /* a suite that could not be set up has run none of its tests, and failed none */
    const CU_pRunSummary summary = CU_get_run_summary();
    bool ok = summary->nTestsFailed == 0 && summary->nSuitesFailed == 0 &&
              summary->nTestsRun == CU_get_registry()->uiNumberOfTests;
    CU_cleanup_registry();
    return ok ? 0 : 1;
}
