# alcove: what you can do with it.

.PHONY: all run test shell eg doc check clean

all:
	rebar3 compile

# Install what is missing, build, and show what alcove does.
run:
	scripts/install-deps.sh
	rebar3 compile
	scripts/run-demo.sh

# Install what is missing, build, and run every test.
test:
	scripts/install-deps.sh
	scripts/test.sh

# A shell with alcove loaded.
shell:
	scripts/install-deps.sh
	rebar3 shell

# Compile the examples to _build/eg.
eg: all
	mkdir -p _build/eg
	ERL_LIBS=_build/default/lib erlc +debug_info -o _build/eg examples/*.erl

# Documentation of every function: pages in doc/, and for h/2 in the shell. Says which
# links lead nowhere.
doc: all
	scripts/doc.sh

# Formatting, lints, types and calls.
check:
	scripts/check.sh

clean:
	rebar3 clean
	rm -rf _build/eg _build/test _build/ci

.PHONY: bench bench-check

# Measure alcove against the limit of the machine and ports: a table, and plots in
# bench/out. See bench/run.sh for options.
bench:
	scripts/install-deps.sh bench
	rebar3 compile
	bench/run.sh

# The same; fails when a ratio is more than 20 % below the recorded one.
bench-check:
	scripts/install-deps.sh bench
	rebar3 compile
	bench/run.sh check

.PHONY: top

# The processes of all Drvs of a node, live: make top NODE=name@host. Without a node, of
# some that are started to be shown. Enter ends it. A node that doesn't have the cookie of
# ~/.erlang.cookie: ERL_FLAGS="-setcookie secret" make top NODE=name@host.
#
# A node of long names is met by one of its own host's: without a domain this machine has none.
top: all
	erl -noshell -pa _build/default/lib/alcove/ebin \
	    $(if $(NODE),-hidden -dist_listen false $(if $(findstring .,$(NODE)),-name,-sname) \
	        alcove_top_$$$$$(if $(findstring .,$(NODE)),@$(lastword $(subst @, ,$(NODE))))) \
	    -eval 'halt(alcove_top:main(string:lexemes("$(NODE)", " "))).'

.PHONY: soak fuzz sanitize

# Random operations and kills for so many minutes, then the cases under pressure:
# make soak MINUTES=10
soak:
	scripts/install-deps.sh
	scripts/soak.sh $(or $(MINUTES),1)

# Fuzz the decoders, each for so many seconds: make fuzz SECONDS=60
fuzz:
	scripts/fuzz.sh $(or $(SECONDS),10)

# The suites of the calls, with AddressSanitizer in the executable and in the NIF. Needs
# nightly Rust.
sanitize:
	scripts/sanitize.sh
