/*
 * Does every file in configs/ work as it stands, and name only what there is?
 */
#include "tests/suites.h"

#include <CUnit/CUnit.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/shell.h"
#include "tests/site.h"
#include "tests/tls_client.h"

static temp_dir_t dir;
static char certificate[300], key[300];

static int make_dir(void)
{
    if (!temp_dir_create(&dir, TEMP_DIR_ON_DISK))
        return 1;
    snprintf(certificate, sizeof(certificate), "%s/a.crt", dir.path);
    snprintf(key, sizeof(key), "%s/a.key", dir.path);
    return tls_make_certificate("localhost", certificate, key) ? 0 : 1;
}

static int remove_dir(void)
{
    return temp_dir_remove(&dir) ? 0 : 1;
}

/** starts a server with this config; only port and directory differ from what the file says */
static void start(site_t *site, const char *config, bool is_in_memory)
{
    const char *const extra[] = {"--config", config, NULL};
    CU_ASSERT_EQUAL_FATAL(is_in_memory ? site_start_in_memory(site, extra)
                                       : site_start(site, TEMP_DIR_ON_DISK, extra),
                          0);
}

static void put_and_get(const char *config, bool is_in_memory)
{
    site_t site;
    http_conn_t conn;
    start(&site, config, is_in_memory);
    site_open(&site, &conn);
    CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/a", NULL, "b", 1), 201);
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/v1/kv/a", NULL, NULL, 0), 200);
    http_close(&conn);
    CU_ASSERT_EQUAL(site_end(&site), 0);
}

static void default_yaml(void)
{
    put_and_get("configs/default.yaml", false);
}

static void durable_yaml(void)
{
    put_and_get("configs/durable.yaml", false);
}

static void cache_yaml(void)
{
    site_t site;
    http_conn_t conn;
    static char large[(1 << 20) + 1];
    put_and_get("configs/cache.yaml", true);
    /* it says that large values are refused */
    start(&site, "configs/cache.yaml", true);
    site_open(&site, &conn);
    CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/a", NULL, large, sizeof(large)), 413);
    http_close(&conn);
    CU_ASSERT_EQUAL(site_end(&site), 0);
    /* and that it is in memory without a flag that says so */
    CU_ASSERT(shell_prints("  path: \":memory:\"\n", "grep '^  path:' configs/cache.yaml"));
}

static void tls_yaml(void)
{
    char certificate_flag[320], key_flag[320];
    site_t site;
    http_conn_t conn;
    snprintf(certificate_flag, sizeof(certificate_flag), "--tls.certificate=%s", certificate);
    snprintf(key_flag, sizeof(key_flag), "--tls.key=%s", key);
    const char *const extra[] = {"--config", "configs/tls.yaml", certificate_flag, key_flag, NULL};
    CU_ASSERT_EQUAL_FATAL(site_start(&site, TEMP_DIR_ON_DISK, extra), 0);
    CU_ASSERT_FATAL(tls_open(&conn, site.server.port, NULL));
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/livez", NULL, NULL, 0), 204);
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/v1/kv/shop/a", NULL, NULL, 0), 401);
    http_close(&conn);
    CU_ASSERT_EQUAL(site_end(&site), 0);
}

/** whether each cairn_ metric that a file names is one that a server has */
static bool names_what_there_is(const char *file, uint16_t port)
{
    return shell_prints(
        "",
        "curl -s http://127.0.0.1:%u/metrics | grep -oE '^cairn_[a-z_]+' | sort -u >%s/m;"
        "test -s %s/m; for n in $(grep -oE '\\bcairn_[a-z_]+' %s | sort -u); do"
        " grep -qx $n %s/m || echo $n; done",
        port, dir.path, dir.path, file, dir.path);
}

static void metrics_that_are_named_exist(void)
{
    site_t site;
    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(&site, NULL), 0);
    CU_ASSERT(names_what_there_is("configs/grafana.json", site.server.port));
    CU_ASSERT(names_what_there_is("configs/prometheus-alerts.yml", site.server.port));
    CU_ASSERT_EQUAL(site_end(&site), 0);
    /* and the operations by which they are told apart */
    CU_ASSERT(shell_prints("op=\"get\"\n",
                           "grep -ohE 'op=\"[a-z]+\"' configs/prometheus-alerts.yml | sort -u"));
    CU_ASSERT(shell_prints("true\n", "jq '.panels | length > 10' configs/grafana.json"));
    /* each panel has a place of its own */
    CU_ASSERT(shell_prints("true\n",
                           "jq '[.panels[].gridPos | {x, y}] | (unique | length) == length' "
                           "configs/grafana.json"));
    CU_ASSERT(
        shell_prints("  - prometheus-alerts.yml\n", "grep alerts.yml configs/prometheus.yml"));
}

/* ---------------------------------------------------------------- the package */

static void a_package(void)
{
    char build[300], deb[320];
    const char *binary = getenv("CAIRN_BINARY");
    snprintf(build, sizeof(build), "%.*s", (int)(strrchr(binary, '/') - binary), binary);
    snprintf(deb, sizeof(deb), "%s/deb", dir.path);
    CU_ASSERT_FATAL(shell_prints("3\n", "packaging/deb/build.sh 0.1.0 %s %s | wc -l", build, deb));
    CU_ASSERT(shell_prints("./etc/cairn/cairn.yaml\n./etc/logrotate.d/cairn\n"
                           "./lib/systemd/system/cairn.service\n./lib/systemd/system/cairn.socket\n"
                           "./usr/bin/cairn\n./usr/share/bash-completion/completions/cairn\n"
                           "./usr/share/man/man1/cairn.1.gz\n1\n",
                           "dpkg-deb -c %s/cairn_*.deb | awk '{print $6}' | grep -v '/$' |"
                           " grep -v /share/doc/ | sort | grep -vE 'man1/cairn-[a-z]*\\.' ; "
                           "dpkg-deb -c %s/cairn_*.deb | grep -c '/man1/cairn-serve\\.1\\.gz'",
                           deb, deb));
    CU_ASSERT(shell_prints("./usr/include/cairn.h\n",
                           "dpkg-deb -c %s/libcairn-dev_*.deb | awk '{print $6}' | grep '\\.h$'",
                           deb));
    CU_ASSERT(
        shell_prints("2\n", "dpkg-deb -c %s/libcairn0_*.deb | grep -c 'libcairn\\.so\\.0'", deb));
    /* all is root's, nothing may be written by others */
    CU_ASSERT(shell_prints(
        "",
        "for d in %s/*.deb; do dpkg-deb -c $d; done |"
        " awk '$2 != \"root/root\" || (substr($1, 1, 1) != \"l\" && $1 ~ /^.....w|^........w/)'",
        deb));
    CU_ASSERT(shell_prints("/etc/cairn/cairn.yaml\n/etc/logrotate.d/cairn\n",
                           "dpkg-deb -I %s/cairn_*.deb conffiles", deb));
    CU_ASSERT(shell_prints(
        "libc6 libcurl4 libh2o-evloop libjansson4 libssl3\n",
        "dpkg-deb -f %s/cairn_*.deb Depends | tr ',' '\\n' |"
        " grep -oE 'libc6|libcurl4|libh2o-evloop|libjansson4|libssl3' | sort -u | xargs",
        deb));
}

static void the_package_unpacked(void)
{
    site_t site;
    char config[320];
    CU_ASSERT_FATAL(shell_prints("",
                                 "for d in %s/deb/*.deb; do dpkg-deb -x $d %s/root; done;"
                                 "dpkg-deb -e %s/deb/cairn_*.deb %s/control",
                                 dir.path, dir.path, dir.path, dir.path));
    snprintf(config, sizeof(config), "%s/root/etc/cairn/cairn.yaml", dir.path);
    start(&site, config, false);
    /* the program of the package does for a client what ours does */
    CU_ASSERT(shell_prints("b",
                           "cd %s/root; export CAIRN_URL=http://127.0.0.1:%u;"
                           "usr/bin/cairn set a b; usr/bin/cairn get a",
                           dir.path, site.server.port));
    CU_ASSERT_EQUAL(site_end(&site), 0);
    CU_ASSERT(shell_prints("2\n", "grep -c '/var/l[io][bg]/cairn' %s", config));
    /* checksums, scripts, links */
    CU_ASSERT(shell_prints("", "cd %s/root; md5sum -c --quiet ../control/md5sums", dir.path));
    CU_ASSERT(shell_prints("",
                           "cd %s/control; for s in postinst prerm postrm; do sh -n $s;"
                           " test -x $s || echo $s; done",
                           dir.path));
    CU_ASSERT(shell_prints("", "find %s/root -xtype l", dir.path));
    CU_ASSERT(shell_prints(
        "1\n", "grep -c 'Permission is hereby granted' %s/root/usr/share/doc/cairn/copyright",
        dir.path));
}

static void the_units(void)
{
    /* systemd's own judgement, where there is a systemd to ask */
    CU_ASSERT(shell_prints(
        "",
        "command -v systemd-analyze >/dev/null || exit 0; mkdir -p %s/units; cd %s/units;"
        "sed \"s|/usr/bin/cairn|%s/root/usr/bin/cairn|\" ../root/lib/systemd/system/cairn.service "
        ">cairn.service;"
        "cp ../root/lib/systemd/system/cairn.socket .;"
        "systemd-analyze verify --man=no --recursive-errors=no ./cairn.service ./cairn.socket 2>&1"
        " | grep -iE 'cairn\\.(service|socket)' || :",
        dir.path, dir.path, dir.path));
    CU_ASSERT(shell_prints(
        "", "for o in Type=notify User=cairn ProtectSystem=strict NoNewPrivileges=yes"
            " StateDirectory=cairn; do grep -qx $o packaging/cairn.service || echo $o; done"));
}

void suite_configs(void)
{
    CU_pSuite s = CU_add_suite("configs", make_dir, remove_dir);
    CU_add_test(s, "default.yaml", default_yaml);
    CU_add_test(s, "durable.yaml", durable_yaml);
    CU_add_test(s, "cache.yaml", cache_yaml);
    CU_add_test(s, "tls.yaml", tls_yaml);
    CU_add_test(s, "metrics that dashboard and alerts name exist", metrics_that_are_named_exist);
    CU_add_test(s, "a Debian package has what it should", a_package);
    CU_add_test(s, "what it unpacks to starts", the_package_unpacked);
    CU_add_test(s, "its units are good", the_units);
}
