# alcove: what you can do with it.

.NOTPARALLEL:
.PHONY: all deps run test shell eg doc check clean

all:
	rebar3 compile

# Install what alcove is built and tested with, where something is missing.
deps:
	scripts/install-deps.sh

# Install what is missing, build, and show what alcove does.
run:
	scripts/install-deps.sh
	rebar3 compile
	scripts/run-demo.sh

# Install what is missing, build, and run every test, or some suites: make test SUITES="attach pipe"
test:
	scripts/install-deps.sh
	scripts/test.sh $(SUITES)

# A shell with alcove loaded.
shell:
	scripts/install-deps.sh
	rebar3 shell

# Compile the examples to _build/eg.
eg: all
	mkdir -p _build/eg
	ERL_LIBS=_build/default/lib erlc +debug_info -o _build/eg examples/*.erl

# The documentation: a site that begins at doc/index.html, with the guides, every function and
# a search, and what h/2 shows in the shell. Says which links lead nowhere.
doc:
	scripts/install-deps.sh
	rebar3 compile
	scripts/doc.sh

# Formatting, lints, types and calls.
check:
	scripts/install-deps.sh check
	scripts/check.sh

# Remove what was built; what make dist made stays in dist/, and the crates of others in target/.
VM = $(or $(ALCOVE_VM),_build/vm)
clean:
	rebar3 clean
	rm -rf _build/eg _build/test _build/ci _build/old _build/cross _build/doc _build/mix doc bench/out
	rm -rf target/loom target/miri target/sanitize
	if cd "$(VM)" 2>/dev/null; then rm -rf kernels roots logs lock work.*; rmdir "$$PWD"; fi

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
# some that are started to be shown. q ends it. A node that doesn't have the cookie of
# ~/.erlang.cookie: ERL_FLAGS="-setcookie secret" make top NODE=name@host.
#
# A node of long names is met by one of its own host's: without a domain this machine has none.
top: all
	erl -noshell -noinput -pa _build/default/lib/alcove/ebin \
	    $(if $(NODE),-hidden -dist_listen false $(if $(findstring .,$(NODE)),-name,-sname) \
	        alcove_top_$$$$$(if $(findstring .,$(NODE)),@$(lastword $(subst @, ,$(NODE))))) \
	    -eval 'halt(alcove_top:main(string:lexemes("$(NODE)", " "))).'

.PHONY: dist

# Archives of what is built, for those who have no Rust, in dist/, and their checksums in
# native/prebuilt.sha256: make dist TARGETS="x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu"
dist:
	scripts/install-deps.sh
	scripts/dist.sh $(TARGETS)

.PHONY: cross

# Build for ARM, 64-bit and 32-bit, and run calls and programs there under an emulator:
# make cross TARGETS=riscv64gc-unknown-linux-gnu
cross:
	scripts/install-deps.sh cross
	scripts/cross.sh $(TARGETS)

.PHONY: soak fuzz loom miri sanitize test-old test-otp test-vm

# Random operations and kills for so many minutes, then the cases under pressure:
# make soak MINUTES=10
soak:
	scripts/install-deps.sh
	scripts/soak.sh $(or $(MINUTES),1)

# Suites as on a kernel that lacks system calls (enosys), under a filter that refuses them (eperm),
# and in a container (docker): make test-old CELL=docker
test-old:
	scripts/install-deps.sh
	scripts/test-old.sh $(CELL)

# make run and make test as on another Debian, with its OTP (bookworm, trixie, sid), in a root
# directory that debootstrap makes: make test-otp CELL=trixie SUITES="attach pipe" STEPS=test
test-otp:
	scripts/test-otp.sh $(CELL)

# Suites on other kernels, on emulated ARM and below systemd, in virtual machines of qemu: make
# test-vm CELL=arm64-6.1 SUITES="calls nif". What is fetched and made for that stays in _build/vm,
# or ALCOVE_VM.
test-vm:
	scripts/install-deps.sh vm
	scripts/test-vm.sh $(CELL)

# Fuzz the decoders and conversations with processes, each for so many seconds: make fuzz SECONDS=60
fuzz:
	scripts/fuzz.sh $(or $(SECONDS),10)

# What threads of the NIF race for, in every order in which they can run, by loom. Its own target
# directory: everything is built with another flag.
loom:
	RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test -p alcove_core --locked --lib loom_

# What Miri can run of the tests. Needs nightly Rust with Miri.
miri:
	scripts/miri.sh

# The suites of the calls, with AddressSanitizer in the executable and in the NIF. Needs
# nightly Rust.
sanitize:
	scripts/sanitize.sh
