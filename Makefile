# codex-pool. `make` builds, `make demo` shows it, `make check` tests it; `make help` lists the rest.

VERSION := 0.1.0
PREFIX ?= /usr/local
DESTDIR ?=
BUILD ?= build

CC ?= cc
ifeq ($(origin CC),default)
CC := gcc
endif
OPT ?= -O2
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Werror
HARDEN := -fPIE -fstack-protector-strong -fstack-clash-protection
LDHARDEN := -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack
ifdef SANITIZE
VARIANT := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
OPT := -O1
ifdef FUZZER
VARIANT += -fsanitize=fuzzer-no-link
endif
else
HARDEN += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
endif

ALL_CFLAGS := -std=gnu17 -D_GNU_SOURCE -DCP_VERSION='"$(VERSION)"' -I. -g $(OPT) $(WARN) $(HARDEN) $(VARIANT) $(CFLAGS)
ALL_LDFLAGS := $(LDHARDEN) $(VARIANT) $(LDFLAGS)
# libev's watcher macros convert between struct types that share their first members.
EV_CFLAGS := -fno-strict-aliasing

DAEMON_LIBS := -lev -lcjson -lhttp_parser -lwslay -lnettle -lm

PROTO_OBJ := $(patsubst %.c,$(BUILD)/obj/%.o,$(sort $(wildcard proto/*.c)))
DAEMON_OBJ := $(patsubst %.c,$(BUILD)/obj/%.o,$(sort $(wildcard daemon/*.c)))
CLIENT_OBJ := $(patsubst %.c,$(BUILD)/obj/%.o,$(sort $(wildcard client/*.c)))
UNIT_OBJ := $(patsubst %.c,$(BUILD)/obj/%.o,$(sort $(wildcard tests/unit/*.c)))
# What the unit tests take from the daemon: the parts that know no loop and no process.
UNIT_DAEMON_OBJ := $(patsubst %,$(BUILD)/obj/daemon/%.o,config config_print log queue closed thread policy settings histogram)
# And from the client: the parts of `codex-pool top` that know no terminal and no connection.
UNIT_CLIENT_OBJ := $(patsubst %,$(BUILD)/obj/client/%.o,headline human text top_cells top_layout top_model top_rows \
  top_spark top_ui)
# The screen of `codex-pool top`: ncurses with wide characters, in one library or two.
CURSES_LIBS ?= $(or $(shell pkg-config --libs ncursesw 2>/dev/null),-lncursesw -ltinfo)
# The fuzz targets, tests/fuzz/fuzz_NAME.c; without a fuzzer they only run given inputs (see tests/fuzz/fuzz.h).
FUZZ := $(patsubst tests/fuzz/fuzz_%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
FUZZ_MAIN := $(if $(FUZZER),,$(BUILD)/obj/tests/fuzz/replay.o)
FUZZ_OBJ := $(patsubst %.c,$(BUILD)/obj/%.o,$(sort $(wildcard tests/fuzz/*.c)))
FUZZ_PROGRAMS := $(patsubst %,$(BUILD)/fuzz-%,$(FUZZ))
# The programs of the speed benchmark.
SPEED := worker floor whole grants load scan
SPEED_PARTS_worker := worker wire util
SPEED_PARTS_floor := floor util
SPEED_PARTS_whole := whole util
SPEED_PARTS_grants := grants util
SPEED_PARTS_load := load load_stream load_trips load_queue peer usage wire util
SPEED_PARTS_scan := scan wire util
SPEED_LIBS_scan := -lcjson -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc
SPEED_PROGRAMS := $(patsubst %,$(BUILD)/speed-%,$(SPEED))
SPEED_OBJ := $(patsubst %.c,$(BUILD)/obj/%.o,$(sort $(wildcard tests/bench/speed/*.c)))
OBJ := $(PROTO_OBJ) $(DAEMON_OBJ) $(CLIENT_OBJ) $(UNIT_OBJ) $(FUZZ_OBJ) $(SPEED_OBJ)

# What the manual's pages are made from: ROOM/man/NAME.SECTION.scd.
MAN_SOURCES := $(sort $(wildcard client/man/*.scd daemon/man/*.scd))
MAN := $(patsubst %.scd,$(BUILD)/man/%,$(notdir $(MAN_SOURCES)))

C_FILES := $(wildcard proto/*.[ch] daemon/*.[ch] client/*.[ch] tests/unit/*.[ch] tests/fuzz/*.[ch] tests/lib/*.[ch] \
  tests/bench/speed/*.[ch])

.PHONY: all help man demo demo-chat check check-clients unit e2e real units soak analyze valgrind coverage fuzz fuzz-replay \
  fuzz-programs speed-programs bench bench-real bench-moves matrix deps npm format format-check install uninstall dist deb clean FORCE

all: $(BUILD)/codex-poold $(BUILD)/codex-pool compile_commands.json

help:
	@echo 'make                     build build/codex-poold and build/codex-pool'
	@echo 'make demo [LOGIN=1]      install what is missing, show the pool at work'
	@echo 'make demo-chat [LOGIN=1] a chat server on a pool of one, with its page; prints the address'
	@echo 'make check               install what is missing, run all tests'
	@echo 'make unit|e2e|real|units one part of the tests'
	@echo 'make check-clients       the package for Node.js and its chat server, in a browser (installs a Chromium)'
	@echo 'make analyze             gcc -fanalyzer and the static analyzer of clang'
	@echo 'make valgrind            the tests on the scripted Codex under valgrind (slow)'
	@echo 'make coverage            what the tests run of the code, and what not, with the reasons'
	@echo 'make fuzz SECONDS=60     look for inputs that break a parser or the daemon [TARGETS="json session"], with clang;'
	@echo '                         what is found is kept in tests/fuzz/found/'
	@echo 'make fuzz-replay         run what was found before, and the corpus, once'
	@echo 'make bench [FAST=1]      what the pool costs between a worker and its reader, beside other relays'
	@echo 'make bench-real          how soon a stream of the real Codex starts, by a process of its own and by the pool'
	@echo 'make bench-moves         what moving threads is worth, measured [SEED=1] [SECONDS=30] [REAL=0] [FAST=1]'
	@echo 'make matrix [VERSIONS=]  what holds on which Codex, old to new: installs them from npm (0.3 GB each), some 10 minutes'
	@echo 'make soak [SECONDS=60] [SEED=n]  random clients and misbehaving workers, replayable'
	@echo 'make man                 build/man/, by scdoc'
	@echo 'make install|uninstall   [PREFIX=/usr/local] [DESTDIR=]'
	@echo 'make dist                build/codex-pool-VERSION.tar.gz of what is committed'
	@echo 'make deb                 build/codex-pool_VERSION_ARCHITECTURE.deb, by dpkg-deb'
	@echo 'make format              clang-format over all C files'
	@echo 'make clean               remove build/'
	@echo 'variables: CC=clang  SANITIZE=1 (address and undefined)  BUILD=dir  OPT=-O0'

# A changed compiler or changed flags build everything again.
$(BUILD)/flags: FORCE
	@mkdir -p $(BUILD)
	@echo '$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS)' | cmp -s - $@ || echo '$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS)' > $@

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	@echo '  CC    $<'
	@$(CC) $(ALL_CFLAGS) $(if $(filter daemon/% tests/fuzz/%,$<),$(EV_CFLAGS)) -MMD -MP -c $< -o $@

$(BUILD)/codex-poold: $(DAEMON_OBJ) $(PROTO_OBJ)
	@echo '  LINK  $@'
	@$(CC) $(ALL_LDFLAGS) $^ $(DAEMON_LIBS) -o $@

$(BUILD)/codex-pool: $(CLIENT_OBJ) $(PROTO_OBJ)
	@echo '  LINK  $@'
	@$(CC) $(ALL_LDFLAGS) $^ -lcjson $(CURSES_LIBS) -o $@

$(BUILD)/unit-tests: $(UNIT_OBJ) $(UNIT_DAEMON_OBJ) $(UNIT_CLIENT_OBJ) $(PROTO_OBJ)
	@echo '  LINK  $@'
	@$(CC) $(ALL_LDFLAGS) $^ $$(pkg-config --libs check) -lcjson -lm -o $@

# What each target is made of besides its own file. The session has the whole daemon but for its edges, which
# outside.c stands for.
FUZZ_PARTS_envelope := reference
FUZZ_PARTS_json := reference
FUZZ_PARTS_session := invariants outside payload peer_client peer_worker promises $(if $(FUZZER),mutate_lines)
FUZZ_PARTS_http := outside
FUZZ_DAEMON_OBJ := $(filter-out $(patsubst %,$(BUILD)/obj/daemon/%.o,main spawn children listener),$(DAEMON_OBJ))
fuzz_parts = $(patsubst %,$(BUILD)/obj/tests/fuzz/%.o,fuzz_$(1) $(FUZZ_PARTS_$(1)))

define fuzz_program
$(BUILD)/fuzz-$(1): $(call fuzz_parts,$(1)) $(FUZZ_MAIN) $(if $(filter session http,$(1)),$(FUZZ_DAEMON_OBJ),$(UNIT_DAEMON_OBJ)) \
  $(PROTO_OBJ)
	@echo '  LINK  $$@'
	@$(CC) $(ALL_LDFLAGS) $(if $(FUZZER),-fsanitize=fuzzer) $$^ $(DAEMON_LIBS) -o $$@
endef
$(foreach name,$(FUZZ),$(eval $(call fuzz_program,$(name))))

fuzz-programs: $(FUZZ_PROGRAMS)

define speed_program
$(BUILD)/speed-$(1): $(patsubst %,$(BUILD)/obj/tests/bench/speed/%.o,$(SPEED_PARTS_$(1))) \
  $(if $(filter scan,$(1)),$(PROTO_OBJ))
	@echo '  LINK  $$@'
	@$(CC) $(ALL_LDFLAGS) $$^ $(SPEED_LIBS_$(1)) -o $$@
endef
$(foreach name,$(SPEED),$(eval $(call speed_program,$(name))))

speed-programs: $(SPEED_PROGRAMS)

man: $(MAN)

# A page's date is its source's.
define man_page
$(BUILD)/man/$(notdir $(1:.scd=)): $(1)
	@mkdir -p $$(@D)
	@echo '  MAN   $$@'
	@SOURCE_DATE_EPOCH=$$$$(stat -c %Y $$<) scdoc <$$< >$$@.new && mv $$@.new $$@
endef
$(foreach page,$(MAN_SOURCES),$(eval $(call man_page,$(page))))

compile_commands.json: $(MAKEFILE_LIST) $(C_FILES)
	@{ echo '['; sep=; for f in $(filter %.c,$(C_FILES)); do \
	  printf '%s{"directory":"%s","file":"%s","command":"%s"}' "$$sep" '$(CURDIR)' "$$f" \
	    '$(CC) $(subst ",\\\",$(subst ',,$(ALL_CFLAGS))) -c '"$$f"; sep=','; done; echo ']'; } > $@

-include $(OBJ:.o=.d)

deps:
	@sh tests/install-deps.sh build

npm:
	@sh tests/install-deps.sh npm

demo: deps npm
	@$(MAKE) --no-print-directory all
	@LOGIN='$(LOGIN)' node tests/demo/demo.mjs

demo-chat: deps npm
	@$(MAKE) --no-print-directory all
	@LOGIN='$(LOGIN)' exec node tests/demo/chat-demo.mjs

check: deps npm
	@sh tests/check.sh

unit: $(BUILD)/unit-tests
	$(BUILD)/unit-tests

e2e: all speed-programs
	node --test tests/e2e/*.test.mjs

real: all npm
	node --test tests/real/*.test.mjs

check-clients: all npm
	@sh tests/install-deps.sh browser
	node --test tests/clients/*.test.mjs

SECONDS ?= 60
TARGETS ?= $(FUZZ)
fuzz:
	@sh tests/install-deps.sh build fuzz
	@$(MAKE) --no-print-directory BUILD=build/fuzz CC=clang SANITIZE=1 FUZZER=1 fuzz-programs
	@sh tests/fuzz/run.sh '$(SECONDS)' $(TARGETS)

fuzz-replay:
	@$(MAKE) --no-print-directory BUILD=build/asan CC=gcc SANITIZE=1 fuzz-programs
	@sh tests/fuzz/replay.sh build/asan $(FUZZ)

# Its settings: tests/bench/settings.mjs.
bench-moves: all npm
	@node tests/bench/moves.mjs

# Its rows and how to run some of them: tests/bench/speed/run.mjs. A daemon of another build is measured beside: ARGS='--poold old=PROGRAM'.
bench: deps
	@sh tests/install-deps.sh bench
	@$(MAKE) --no-print-directory all speed-programs
	@CODEX_POOL_BUILD='$(BUILD)' FAST='$(FAST)' node tests/bench/speed/run.mjs $(ARGS)

bench-real: all npm
	@CODEX_POOL_BUILD='$(BUILD)' FAST='$(FAST)' node tests/bench/speed/real.mjs $(ARGS)

matrix: all npm
	@node tests/matrix/matrix.mjs $(VERSIONS)

units: all
	sh tests/systemd/units.sh

analyze:
	@sh tests/install-deps.sh build clang
	@sh tests/analyze.sh

valgrind: all $(BUILD)/unit-tests
	@sh tests/valgrind.sh

coverage: all npm
	@sh tests/coverage.sh

soak: all
	CODEX_POOL_BUILD='$(BUILD)' node tests/soak/main.mjs '$(SECONDS)' '$(SEED)'

format:
	clang-format -i $(C_FILES)

format-check:
	clang-format --dry-run --Werror $(C_FILES)

# FROM:TO below PREFIX, with mode 0644, @PREFIX@ in them replaced.
INSTALLED := $(foreach unit,$(wildcard systemd/system/* systemd/user/*),$(unit):lib/$(unit)) \
  systemd/codex-pool.sysusers:lib/sysusers.d/codex-pool.conf \
  systemd/codex-pool.tmpfiles:lib/tmpfiles.d/codex-pool.conf \
  $(foreach each,$(wildcard systemd/prometheus/*),$(each):share/codex-pool/prometheus/$(notdir $(each))) \
  client/completions/candidates:share/codex-pool/candidates \
  client/completions/codex-pool.bash:share/bash-completion/completions/codex-pool \
  client/completions/codex-pool.bash:share/bash-completion/completions/codex-poold \
  client/completions/_codex-pool:share/zsh/site-functions/_codex-pool \
  client/completions/codex-pool.fish:share/fish/vendor_completions.d/codex-pool.fish \
  client/completions/codex-pool.fish:share/fish/vendor_completions.d/codex-poold.fish
MAN_INSTALLED := $(foreach page,$(MAN),$(page):share/man/man$(subst .,,$(suffix $(page)))/$(notdir $(page)))
# Without scdoc there is no manual.
HAVE_SCDOC := $(shell command -v scdoc)

install: all $(if $(HAVE_SCDOC),man)
	install -d "$(DESTDIR)$(PREFIX)/bin"
	install -m 0755 $(BUILD)/codex-poold $(BUILD)/codex-pool "$(DESTDIR)$(PREFIX)/bin/"
	for each in $(INSTALLED) $(if $(HAVE_SCDOC),$(MAN_INSTALLED)); do \
	  to="$(DESTDIR)$(PREFIX)/$${each#*:}"; \
	  install -d "$${to%/*}" && sed 's|@PREFIX@|$(PREFIX)|g' "$${each%%:*}" >"$$to" && chmod 0644 "$$to" || exit 1; done
	chmod 0755 "$(DESTDIR)$(PREFIX)/share/codex-pool/candidates"
	$(if $(HAVE_SCDOC),,@echo 'scdoc is not installed: no manual pages')

uninstall:
	for each in bin/codex-poold bin/codex-pool $(foreach each,$(INSTALLED) $(MAN_INSTALLED),$(lastword $(subst :, ,$(each)))); do \
	  rm -f "$(DESTDIR)$(PREFIX)/$$each"; done
	for each in prometheus ''; do to="$(DESTDIR)$(PREFIX)/share/codex-pool/$$each"; [ ! -d "$$to" ] || rmdir "$$to"; done

# The tarball is what git has of HEAD and nothing else, byte for byte the same wherever it is made.
DIST := codex-pool-$(VERSION)
dist:
	@mkdir -p $(BUILD)
	@git -c tar.umask=0022 archive --format=tar --prefix=$(DIST)/ HEAD | gzip -9n >$(BUILD)/$(DIST).tar.gz
	@echo $(BUILD)/$(DIST).tar.gz

DEB_VERSION ?= $(VERSION)-1
deb: all
	@sh systemd/debian/build.sh '$(BUILD)' '$(DEB_VERSION)'

clean:
	rm -rf $(BUILD) compile_commands.json

FORCE:
