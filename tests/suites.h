/*
 * tests/suites.h - one function a suite; tests/main.c runs them in this order.
 */
#ifndef CAIRN_TESTS_SUITES_H
#define CAIRN_TESTS_SUITES_H

void suite_http_client(void);
void suite_index(void);
void suite_dir(void);
void suite_scan(void);
void suite_meta(void);
void suite_record(void);
void suite_store(void);
void suite_decide(void);
void suite_decide_values(void);
void suite_decide_model(void);
void suite_keytable(void);
void suite_feed(void);
void suite_snapshot(void);
void suite_faults(void);
void suite_checkpoint(void);
void suite_power_cut(void);
void suite_read_errors(void);
void suite_batch(void);
void suite_existed(void);
void suite_units(void);
void suite_config(void);
void suite_config_tokens(void);
void suite_cli(void);
void suite_server_process(void);
void suite_target(void);
void suite_conditions(void);
void suite_http_values(void);
void suite_http_keys(void);
void suite_http_connections(void);
void suite_http_conditions(void);
void suite_http_contract(void);
void suite_http_changes(void);
void suite_http_snapshot(void);
void suite_http_tutorial(void);
void suite_batch_gets(void);
void suite_http_batch(void);
void suite_openapi(void);
void suite_http_pages(void);
void suite_http_status(void);
void suite_http_faults(void);
void suite_http_framing(void);
void suite_http_hostile(void);
void suite_http_limits(void);
void suite_auth(void);
void suite_access_log(void);
void suite_serve(void);
void suite_listen(void);
void suite_tls(void);
void suite_restart(void);
void suite_systemd(void);
void suite_reload(void);
void suite_takeover(void);
void suite_haproxy(void);
void suite_real_tree(void);
void suite_history(void);
void suite_client(void);
void suite_client_faults(void);
void suite_install(void);
void suite_configs(void);
void suite_command(void);

#endif
