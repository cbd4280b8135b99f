# cairn - `make help` lists what there is.

SHELL := /bin/bash
ifeq ($(origin CC),default)
CC := gcc
endif
BUILD ?= build
# what a sanitized build adds, e.g. SAN=-fsanitize=address,undefined
SAN ?=

CFLAGS ?= -O2 -g
WARNINGS := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wpointer-arith \
            -Wvla -Werror
ALL_CFLAGS = -std=gnu11 $(WARNINGS) -D_GNU_SOURCE -DH2O_USE_EPOLL=1 -I. -pthread $(CFLAGS) $(SAN)
ALL_LDFLAGS = -pthread $(LDFLAGS) $(SAN)

VERSION := 0.1.0
# what programs that link libcairn.so ask for; raised when they would no longer run with it
SOVERSION := 0

STORAGE_LIBS := -lxxhash -lurcu-qsbr -lurcu-common
SERVER_LIBS := -lh2o-evloop -lssl -lcrypto -lcyaml -lyaml -ljansson
CLIENT_LIBS := -lcurl -ljansson

# Debian packages: to build, to run the tests, to measure, to work on the code
BUILD_PKGS := gcc libc6-dev libh2o-evloop-dev libssl-dev libxxhash-dev liburcu-dev libcyaml-dev \
              libyaml-dev libjansson-dev libcurl4-openssl-dev
TEST_PKGS := libcunit1-dev dpkg-dev haproxy wrk curl jq groff-base pkg-config xfsprogs rsync
BENCH_PKGS := wrk nginx-light redis-server webdis etcd-server memcached python3 curl procps \
              util-linux
BENCH_ENGINES_PKGS := liblmdb-dev librocksdb-dev libleveldb-dev redis-server
DEV_PKGS := clang clang-format clang-tidy cppcheck libclang-rt-14-dev liblmdb-dev librocksdb-dev \
            libleveldb-dev

INDEX_SRC := $(wildcard index/*.c)
STORAGE_SRC := $(wildcard storage/*.c)
SERVER_SRC := $(wildcard server/*.c)
# the command line is no part of the library
CLI_SRC := $(wildcard client/cli*.c)
LIB_SRC := $(filter-out $(CLI_SRC),$(wildcard client/*.c))
EXAMPLE_SRC := $(wildcard client/examples/*.c)
TEST_SRC := $(wildcard tests/*.c)
ALL_SRC := $(INDEX_SRC) $(STORAGE_SRC) $(SERVER_SRC) $(LIB_SRC) $(CLI_SRC) \
           $(EXAMPLE_SRC) $(TEST_SRC) $(wildcard tests/fuzz/*.c bench/*.c bench/load/*.c)
ALL_HDR := $(wildcard index/*.h storage/*.h server/*.h client/*.h tests/*.h tests/fuzz/*.h bench/*.h \
               bench/load/*.h)

objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
ENGINE_OBJ := $(call objects,$(INDEX_SRC) $(STORAGE_SRC))
SERVER_OBJ := $(call objects,$(SERVER_SRC))
LIB_OBJ := $(call objects,$(LIB_SRC))
CLIENT_OBJ := $(LIB_OBJ) $(call objects,$(CLI_SRC))
TEST_OBJ := $(call objects,$(TEST_SRC))

# $(call install_missing,LIST), in the recipe of a target that needs packages: only what is missing
missing_pkgs = $(shell for p in $(1); do \
    dpkg-query -W -f='$${db:Status-Status}' $$p 2>/dev/null | grep -qx installed || echo $$p; done)
AS_ROOT = $$( [ "$$(id -u)" = 0 ] || echo sudo )
define install_missing
	@missing="$(call missing_pkgs,$(1))"; if [ -n "$$missing" ]; then \
	    echo "installing $$missing"; \
	    $(AS_ROOT) apt-get update -q >/dev/null && \
	    $(AS_ROOT) env DEBIAN_FRONTEND=noninteractive \
	        apt-get install -q -y --no-install-recommends $$missing >/dev/null; \
	fi
endef

.PHONY: all
all: $(BUILD)/cairn ## build build/cairn

# ---------------------------------------------------------------- packages
.PHONY: deps deps-dev deps-bench deps-bench-engines
deps: ## install what building and testing need and this machine lacks
	$(call install_missing,$(BUILD_PKGS) $(TEST_PKGS))
deps-bench: deps
	$(call install_missing,$(BENCH_PKGS))
deps-bench-engines:
	$(call install_missing,$(BENCH_ENGINES_PKGS))
deps-dev: deps
	$(call install_missing,$(DEV_PKGS))

# the stamp makes a bare `make` install what is missing once, and look no further
$(BUILD)/.deps: Makefile
	$(call install_missing,$(BUILD_PKGS) $(TEST_PKGS))
	@mkdir -p $(@D) && touch $@

# ---------------------------------------------------------------- building
$(BUILD)/obj/%.o: %.c | $(BUILD)/.deps
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# .incbin is not in what -MMD writes
$(BUILD)/obj/server/pages.o: server/dashboard.html

$(BUILD)/obj/client/%.o: ALL_CFLAGS += -fPIC -fvisibility=hidden -DCAIRN_VERSION='"$(VERSION)"'

# as a program that uses the installed library includes it
$(BUILD)/obj/client/examples/%.o: ALL_CFLAGS += -Iclient

$(BUILD)/cairn: $(SERVER_OBJ) $(ENGINE_OBJ) $(CLIENT_OBJ)
	@echo "  LINK  $@"
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(SERVER_LIBS) $(CLIENT_LIBS) $(STORAGE_LIBS)

$(BUILD)/cairn-tests: $(TEST_OBJ) $(filter-out $(BUILD)/obj/server/main.o,$(SERVER_OBJ)) $(ENGINE_OBJ) \
                      $(CLIENT_OBJ)
	@echo "  LINK  $@"
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ -lcunit $(SERVER_LIBS) $(CLIENT_LIBS) $(STORAGE_LIBS)

.PHONY: lib
lib: $(BUILD)/libcairn.a $(BUILD)/libcairn.so.$(VERSION) ## build the client library, static and shared
$(BUILD)/libcairn.a: $(LIB_OBJ)
	@echo "  AR    $@"
	@rm -f $@ && ar rcs $@ $^
$(BUILD)/libcairn.so.$(VERSION): $(LIB_OBJ)
	@echo "  LINK  $@"
	@$(CC) $(ALL_LDFLAGS) -shared -Wl,-soname,libcairn.so.$(SOVERSION) -o $@ $^ $(CLIENT_LIBS)

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

# ---------------------------------------------------------------- running
.PHONY: run
run: all ## build, then serve ./data on 127.0.0.1:8080 as configs/default.yaml says
	$(BUILD)/cairn serve --config configs/default.yaml

# ---------------------------------------------------------------- installing
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
TO = $(DESTDIR)$(PREFIX)
LIBTO = $(DESTDIR)$(LIBDIR)

# a page for each command but serve, which has one of its own, out of what its --help says
$(BUILD)/man/.done: $(BUILD)/cairn packaging/man.awk docs/man/cairn.1
	@mkdir -p $(@D)
	@for c in $$($< help | sed -n 's/^  \([a-z]*\)  *[a-z].*/\1/p' | grep -vxE 'cairn|serve'); do \
	    $< $$c --help | awk -v date="$$(sed -n 's/^\.Dd //p' docs/man/cairn.1)" \
	        -f packaging/man.awk >$(@D)/cairn-$$c.1 || exit 1; done
	@touch $@

.PHONY: install install-bin install-lib
install: install-bin install-lib ## install under PREFIX (/usr/local), below DESTDIR if given
install-bin: all $(BUILD)/man/.done
	install -D -m 755 $(BUILD)/cairn $(TO)/bin/cairn
	install -d $(TO)/share/doc/cairn/configs $(TO)/share/man/man1
	install -m 644 $(wildcard configs/*) $(TO)/share/doc/cairn/configs
	install -m 644 docs/man/*.1 $(BUILD)/man/*.1 $(TO)/share/man/man1
	install -m 644 README.md $(wildcard docs/*.md docs/*.yaml docs/*.svg) $(TO)/share/doc/cairn
	install -D -m 644 packaging/cairn.bash $(TO)/share/bash-completion/completions/cairn
install-lib: lib
	install -D -m 644 client/cairn.h $(TO)/include/cairn.h
	install -D -m 644 $(BUILD)/libcairn.a $(LIBTO)/libcairn.a
	install -m 644 $(BUILD)/libcairn.so.$(VERSION) $(LIBTO)/libcairn.so.$(VERSION)
	ln -sf libcairn.so.$(VERSION) $(LIBTO)/libcairn.so.$(SOVERSION)
	ln -sf libcairn.so.$(SOVERSION) $(LIBTO)/libcairn.so
	install -d $(LIBTO)/pkgconfig $(TO)/share/doc/cairn/examples
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@VERSION@|$(VERSION)|' \
	    client/cairn.pc.in >$(LIBTO)/pkgconfig/cairn.pc
	install -m 644 $(EXAMPLE_SRC) $(TO)/share/doc/cairn/examples

DEB_PKGS := dpkg-dev binutils
.PHONY: deb deb-check deb-check-deps
deb: all lib ## build Debian packages in build/deb
	$(call install_missing,$(DEB_PKGS))
	packaging/deb/build.sh $(VERSION) $(BUILD) $(BUILD)/deb
DEB_CHECK_PKGS := debootstrap systemd-container lintian
deb-check: deb ## install, use, upgrade, remove and purge the packages in a container (as root)
	[ "$$(id -u)" != 0 ] || { $(MAKE) -s deb-check-deps; }
	packaging/deb/check.sh $(VERSION) $(BUILD)
deb-check-deps:
	$(call install_missing,$(DEB_CHECK_PKGS))

# ---------------------------------------------------------------- testing
.PHONY: test check asan tsan soak
test: layers lib fuzz-seeds $(BUILD)/cairn $(BUILD)/cairn-tests ## every test; ends with CUnit's summary
	CAIRN_BINARY=$(BUILD)/cairn $(BUILD)/cairn-tests $(TESTS)
check: test
asan: ## the tests under AddressSanitizer and UndefinedBehaviorSanitizer
	$(MAKE) test BUILD=build/asan CFLAGS="-O1 -g -fno-omit-frame-pointer" \
	    SAN="-fsanitize=address,undefined -fno-sanitize-recover=undefined"
tsan: ## the tests under ThreadSanitizer
	TSAN_OPTIONS="halt_on_error=1 second_deadlock_stack=1" \
	$(MAKE) test BUILD=build/tsan CFLAGS="-O1 -g" SAN="-fsanitize=thread"
soak: lib $(BUILD)/cairn $(BUILD)/cairn-tests ## the long tests: whole trees, many crashes
	CAIRN_SOAK=1 CAIRN_BINARY=$(BUILD)/cairn $(BUILD)/cairn-tests $(TESTS)

.PHONY: configs-check
configs-check: $(BUILD)/cairn ## Prometheus itself on its config, its alerts and the dashboard's queries
	tests/prometheus.sh $(BUILD)

# ---------------------------------------------------------------- fuzzing
# a target a file in tests/fuzz; its seeds in tests/fuzz/seeds/<target>
FUZZ_TARGETS := $(patsubst tests/fuzz/%.c,%,$(filter-out tests/fuzz/replay.c,$(wildcard tests/fuzz/*.c)))
FUZZ_RUNS ?= 1000000
FUZZ_CC ?= clang
FUZZ_BUILD := build/fuzz
FUZZ_LIB_OBJ = $(filter-out $(BUILD)/obj/server/main.o,$(SERVER_OBJ)) $(ENGINE_OBJ)
.PHONY: fuzz fuzz-seeds
fuzz: deps-dev ## FUZZ_RUNS (1,000,000) runs of each fuzz target, under clang's sanitizers
	$(MAKE) BUILD=$(FUZZ_BUILD) CC="$(FUZZ_CC)" CFLAGS="-O1 -g -fno-omit-frame-pointer" \
	    SAN="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined" \
	    $(FUZZ_TARGETS:%=$(FUZZ_BUILD)/fuzz-%)
	@for t in $(FUZZ_TARGETS); do \
	    echo "fuzz $$t: $(FUZZ_RUNS) runs"; mkdir -p $(FUZZ_BUILD)/corpus/$$t; \
	    $(FUZZ_BUILD)/fuzz-$$t -runs=$(FUZZ_RUNS) -max_len=4096 -timeout=10 -print_final_stats=1 \
	        -artifact_prefix=$(FUZZ_BUILD)/crash-$$t- $(FUZZ_BUILD)/corpus/$$t \
	        tests/fuzz/seeds/$$t >$(FUZZ_BUILD)/$$t.log 2>&1 || \
	        { tail -40 $(FUZZ_BUILD)/$$t.log; exit 1; }; \
	    grep -E "number_of_executed_units|average_exec_per_sec" $(FUZZ_BUILD)/$$t.log; done
$(FUZZ_BUILD)/fuzz-%: $(FUZZ_BUILD)/obj/tests/fuzz/%.o $(FUZZ_LIB_OBJ)
	@echo "  LINK  $@"
	@$(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(SERVER_LIBS) $(STORAGE_LIBS)
# the same targets and their seeds, without libFuzzer: they stay tests
$(BUILD)/replay-%: $(BUILD)/obj/tests/fuzz/%.o $(BUILD)/obj/tests/fuzz/replay.o $(FUZZ_LIB_OBJ)
	@echo "  LINK  $@"
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(SERVER_LIBS) $(STORAGE_LIBS)
fuzz-seeds: $(FUZZ_TARGETS:%=$(BUILD)/replay-%) ## the fuzz targets over their seeds
	@for t in $(FUZZ_TARGETS); do $(BUILD)/replay-$$t tests/fuzz/seeds/$$t/* || exit 1; done
.SECONDARY: $(FUZZ_TARGETS:%=$(BUILD)/obj/tests/fuzz/%.o) $(BUILD)/obj/tests/fuzz/replay.o

.PHONY: bench bench-full
BENCH_PROGRAMS := $(BUILD)/cairn $(BUILD)/ceiling $(BUILD)/load $(BUILD)/subscribe
bench: deps-bench $(BENCH_PROGRAMS) ## cairn beside its peers, the figures that matter most: six minutes
	BUILD=$(BUILD) bench/run.sh quick
bench-full: deps-bench $(BENCH_PROGRAMS) ## every load there is: half an hour, 5 GB of memory and of disk
	BUILD=$(BUILD) bench/run.sh full
	$(MAKE) bench-engines
$(BUILD)/ceiling: $(BUILD)/obj/bench/ceiling.o
	@echo "  LINK  $@"
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ -lh2o-evloop -lssl -lcrypto
$(BUILD)/subscribe: $(BUILD)/obj/bench/subscribe.o
	@echo "  LINK  $@"
	@$(CC) $(ALL_LDFLAGS) -o $@ $^
$(BUILD)/load: $(call objects,$(wildcard bench/load/*.c))
	@echo "  LINK  $@"
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ -lm

.PHONY: bench-index
bench-index: $(BUILD)/bench-index ## what the index costs in memory and time (QUICK=1: small)
	$(BUILD)/bench-index
$(BUILD)/bench-index: $(call objects,bench/index.c bench/index_waits.c $(INDEX_SRC))
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(STORAGE_LIBS)

.PHONY: bench-batch
bench-batch: deps-bench-engines $(BUILD)/cairn $(BUILD)/batch ## gets in batches of 100 beside MGET of Redis
	BUILD=$(BUILD) bench/batch.sh
$(BUILD)/batch: $(call objects,bench/batch.c tests/http_client.c tests/http_answer.c)
	@echo "  LINK  $@"
	@$(CC) $(ALL_LDFLAGS) -o $@ $^

BENCH_ENGINES_OBJ := $(call objects,bench/engines.c bench/redis_memory.c \
                         $(wildcard bench/engine_*.c))
.PHONY: bench-engines
bench-engines: deps-bench-engines $(BUILD)/bench-engines ## storage beside LMDB, RocksDB, LevelDB; memory beside Redis (QUICK=1: small)
	BUILD=$(BUILD) bench/engines.sh
$(BENCH_ENGINES_OBJ): | deps-bench-engines
$(BUILD)/bench-engines: $(BENCH_ENGINES_OBJ) $(ENGINE_OBJ)
	@echo "  LINK  $@"
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ -llmdb -lrocksdb -lleveldb $(STORAGE_LIBS)

.PHONY: bench-restart
bench-restart: deps-bench-engines $(BUILD)/cairn $(BUILD)/bench-restart ## how long a start takes, beside Redis
	BUILD=$(BUILD) bench/restart.sh
$(BUILD)/bench-restart: $(call objects,bench/restart.c bench/redis_memory.c bench/engine_cairn.c) $(ENGINE_OBJ)
	@echo "  LINK  $@"
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(STORAGE_LIBS)

.PHONY: bench-listing
bench-listing: $(BUILD)/cairn $(BUILD)/bench-listing ## what a page of keys takes as a store grows, and a scan
	BUILD=$(BUILD) bench/listing.sh
$(BUILD)/bench-listing: $(call objects,bench/listing.c bench/engine_cairn.c tests/http_client.c tests/http_answer.c) $(ENGINE_OBJ)
	@echo "  LINK  $@"
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(STORAGE_LIBS)

.PHONY: bench-compaction
bench-compaction: deps-bench $(BUILD)/cairn $(BUILD)/load ## what compaction keeps live, writes, and costs gets
	BUILD=$(BUILD) bench/compaction.sh

.PHONY: bench-plan
bench-plan: $(BUILD)/cairn ## what `cairn plan` says beside what stores take
	BUILD=$(BUILD) bench/plan.sh

# ---------------------------------------------------------------- keeping the code in order
.PHONY: layers fmt lint compile_commands.json
layers: ## check that includes point one way: server -> storage -> index; client to none
	@bad=$$(grep -nE '#include "(storage|server|client|tests|bench)/' index/*.[ch]; \
	        grep -nE '#include "(server|client|tests|bench)/|#include <h2o' storage/*.[ch]; \
	        grep -nE '#include "' server/*.[ch] | grep -vE '"(server/|storage/(store|types|feed|listing|search|snapshot|verify)\.h)' | \
	            grep -vE '^server/main\.c:[0-9]*:#include "client/cli\.h"'; \
	        grep -nE '#include ("|<h2o)' client/*.[ch] client/examples/*.c | grep -v '"client/'; \
	        grep -n '#include <urcu-qsbr' $(ALL_SRC) $(ALL_HDR) | grep -v '^index/qsbr\.h:'); \
	if [ -n "$$bad" ]; then echo "$$bad"; echo "layers: an include points the wrong way"; exit 1; fi
fmt: deps-dev ## format the code
	clang-format -i $(ALL_SRC) $(ALL_HDR)
# what clang reads: the flags of the build and no optimization, which it takes its time for
CLANG_BUILD := build/clang
CLANG_FLAGS = $(filter-out $(CFLAGS),$(ALL_CFLAGS)) -O0 -DCAIRN_VERSION='"$(VERSION)"'
# what is no part of the program or of its tests
UNLINKED_SRC = $(EXAMPLE_SRC) $(wildcard tests/fuzz/*.c bench/*.c bench/load/*.c)
lint: deps-dev ## formatting, clang's warnings, clang-tidy, cppcheck
	clang-format --dry-run -Werror $(ALL_SRC) $(ALL_HDR)
	$(MAKE) BUILD=$(CLANG_BUILD) CC=clang CFLAGS=-O0 $(CLANG_BUILD)/cairn \
	    $(CLANG_BUILD)/cairn-tests $(patsubst %.c,$(CLANG_BUILD)/obj/%.o,$(UNLINKED_SRC))
	printf '%s\n' $(INDEX_SRC) $(STORAGE_SRC) $(SERVER_SRC) $(LIB_SRC) $(CLI_SRC) $(EXAMPLE_SRC) | \
	    xargs -P $$(nproc) -I {} clang-tidy --quiet {} -- $(CLANG_FLAGS) -Iclient
	cppcheck --quiet --error-exitcode=1 --enable=warning,portability --inline-suppr \
	    --suppress=missingIncludeSystem -I. -DH2O_USE_EPOLL=1 index storage server client
COMPILE_COMMANDS = [inputs | {directory: $$dir, file: ., arguments: ([$$cc] + \
    ($$flags | split(" ") | map(select(. != ""))) + [$$version, "-c", .])}]
compile_commands.json: deps ## for editors: how each file is compiled
	@printf '%s\n' $(ALL_SRC) | jq -Rn --arg dir "$$PWD" --arg cc "$(CC)" \
	    --arg flags '$(ALL_CFLAGS) -Iclient' --arg version '-DCAIRN_VERSION="$(VERSION)"' \
	    '$(COMPILE_COMMANDS)' >$@

.PHONY: clean help
clean: ## remove build/
	rm -rf build compile_commands.json
help: ## this list
	@grep -hE '^[a-z_.-]+:.*## ' $(MAKEFILE_LIST) | \
	    awk -F ':.*## ' '{name[NR] = $$1; about[NR] = $$2; if (length($$1) > w) w = length($$1)} \
	        END {for (i = 1; i <= NR; ++i) printf "  make %-" w "s  %s\n", name[i], about[i]}'
