# Rapport: the extension is built here with PGXS, rapportd in api/.
#
#   make demo    everything, shown            make test    every suite
#   make help    the other targets

# Topics in dependency order: a topic uses only those to its left.
TOPICS ?= core account profile safety match shard chat privacy rest

# Which PostgreSQL: test/pg-version tells. The scripts get it from here.
ifndef PG_VERSION
PG_VERSION := $(shell test/pg-version)
endif
export PG_VERSION
PG_CONFIG  ?= $(firstword $(wildcard /usr/lib/postgresql/$(PG_VERSION)/bin/pg_config) pg_config)

# Debian packages: to build, to run, to test, and for test-long alone.
PACKAGES_BUILD = gcc make pkg-config libc6-dev postgresql-server-dev-$(PG_VERSION) libpq-dev \
	libmicrohttpd-dev libjansson-dev libsodium-dev libzstd-dev libinih-dev
PACKAGES_RUN   = postgresql-$(PG_VERSION) postgresql-$(PG_VERSION)-postgis-3 curl
PACKAGES_LONG  = clang libclang-rt-dev bison flex dpkg-dev
PACKAGES_TEST  = postgresql-$(PG_VERSION)-plpgsql-check libipc-run-perl perl $(PACKAGES_CLIENT)
# Another nodejs than Debian's may bring its npm.
PACKAGES_CLIENT = nodejs node-typescript $(if $(shell command -v npm),,npm)

version := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" extension/rapport.control)
install_script = extension/rapport--$(version).sql
# What functions.sql stands on may have a file functions_*.sql of its own.
sql_sources = $(foreach t,$(TOPICS),$(wildcard extension/$(t)/schema.sql) $(sort $(wildcard extension/$(t)/functions_*.sql)) \
	$(wildcard extension/$(t)/functions.sql)) \
	$(if $(filter rest,$(TOPICS)),$(wildcard extension/rest/routes.sql)) extension/core/finish.sql

# What an earlier release installed stays installable; from each an update leads
# to this version: extension/update/README.md.
released       = $(patsubst extension/release/rapport--%.sql,%,$(wildcard extension/release/rapport--*.sql))
earlier        = $(filter-out $(version),$(released))
update_scripts = $(foreach v,$(earlier),extension/rapport--$(v)--$(version).sql)
replaceable    = $(filter-out %/schema.sql,$(sql_sources))

EXTENSION   = extension/rapport
DATA        = $(foreach v,$(earlier),extension/release/rapport--$(v).sql)
DATA_built  = $(install_script) $(update_scripts)
MODULE_big  = rapport
OBJS        = $(patsubst %.c,%.o,extension/rapport.c $(sort $(wildcard extension/*/*.c)))
PG_CPPFLAGS = -I$(srcdir)/extension
PG_CFLAGS   = -std=gnu99 -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers -Wvla -ffp-contract=off
SHLIB_LINK  = -lsodium -lzstd -lm
EXTRA_CLEAN = extension/rapport--*.sql results output_iso tmp_check

# The topics' tests in their order, then those of the whole.
regress_topics = $(foreach t,install $(TOPICS),$(sort $(wildcard sql/$(t).sql sql/$(t)_*.sql)))
REGRESS      = $(patsubst sql/%.sql,%,$(regress_topics) $(filter-out $(regress_topics),$(sort $(wildcard sql/*.sql))))
ISOLATION    = $(sort $(patsubst test/isolation/specs/%.spec,%,$(wildcard test/isolation/specs/*.spec)))
NO_INSTALLCHECK = 1

ifneq ($(shell $(PG_CONFIG) --version 2>/dev/null),)
PGXS := $(shell $(PG_CONFIG) --pgxs)
endif
.DEFAULT_GOAL := build
ifneq ($(wildcard $(PGXS)),)
include $(PGXS)
else
all install: ; @echo 'The build packages are missing: run "make deps".' >&2; exit 1
clean: ; rm -f $(install_script) $(update_scripts) $(OBJS)
endif
override CPPFLAGS := $(PG_CPPFLAGS) $(filter-out $(PG_CPPFLAGS),$(CPPFLAGS))

.PHONY: build sql deps test test-long demo stop run psql bench lint reference release help api api-install api-clean

build: all api

# Against a running server, in databases of their own (test/run prepares one).
.PHONY: installcheck isolation
installcheck:
	$(pg_regress_installcheck) --dbname=rapport_regress $(REGRESS)
isolation:
	$(pg_isolation_regress_installcheck) --inputdir=test/isolation --outputdir=output_iso \
		--dbname=rapport_isolation --load-extension=postgis --load-extension=rapport $(ISOLATION)

api:
	$(MAKE) -C api

# The client in TypeScript, packed for npm.
.PHONY: client
client:
	$(MAKE) -C api/client

$(install_script): $(sql_sources) extension/rapport.control Makefile
	@{ printf '%s\n' '\echo Use "CREATE EXTENSION rapport CASCADE" to load this file. \quit'; \
	   sed 's/^CREATE OR REPLACE /CREATE /' $(sql_sources); } > $@.tmp && mv $@.tmp $@

$(update_scripts): extension/rapport--%--$(version).sql: $(sql_sources) $(wildcard extension/update/* extension/core/update_*.sql) \
		extension/rapport.control Makefile
	@extension/update/script $* $(version) $(replaceable) > $@.tmp && mv $@.tmp $@

# The scripts alone.
sql: $(install_script) $(update_scripts)

# Freezes this version: once it is out, its install script changes no more.
release: sql
	@$(if $(filter file,$(origin TOPICS)),,echo 'release: TOPICS is set' >&2; exit 1;) extension/release/freeze $(version)

# Objects depend on the headers of every topic: few enough to rebuild all.
$(OBJS): $(wildcard extension/*/*.h)

deps:
	@test/deps $(PACKAGES_BUILD) $(PACKAGES_RUN) $(PACKAGES_TEST)

# The suites run on a copy, in a cluster of their own, never as root.
test: deps
	@test/run all

test-long: deps
	@test/deps $(PACKAGES_LONG)
	@test/run all long

# On each release of Debian that is supported, in chroots: as root.
.PHONY: test-versions
test-versions:
	@test/versions

lint: deps
	@test/run lint

demo: deps
	@test/demo/start

stop:
	@test/demo/stop

psql:
	@test/demo/psql

run: build
	api/rapportd

# extension/doc/reference.md, from the comments of a fresh install.
reference: deps
	@test/run reference

bench: deps
	@test/bench/run all

bench-%: deps
	@test/bench/run $*

install: api-install
api-install: api
	$(MAKE) -C api install

clean: api-clean
api-clean:
	$(MAKE) -C api clean
	$(MAKE) -C api/client clean

help:
	@sed -n 's/^#   //p' Makefile
	@printf '%s\n' \
	'make             build the extension and rapportd' \
	'make deps        install the missing Debian packages (root or sudo)' \
	'make install     install the extension and rapportd (root)' \
	'make test-long   test, with the suites that take longer' \
	'make test-versions  test, on every supported release of Debian (root)' \
	'make stop        end the demo          make psql    psql in the demo, acting as a person' \
	'make client      api/client, packed for npm' \
	'make run         rapportd against the database of PGHOST, PGDATABASE ...' \
	'make bench       every bench           make bench-AREA   one area' \
	'make reference   write extension/doc/reference.md anew' \
	'make lint        the checks of the sources and the catalogue' \
	'make release    freeze the install script of this version' \
	'make clean'
