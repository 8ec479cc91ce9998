# Commands for those who work on Traceroom. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
BIN := $(CURDIR)/.bin
GOLANGCI := $(BIN)/golangci-lint-2.15.0
GOVULNCHECK := $(BIN)/govulncheck-1.9.0

.PHONY: help
help: ## list what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: run
run: ## run the server on http://localhost:8000
	go run ./app

.PHONY: test
test: test-needs ## run all tests, with the race detector
	go test -race -timeout 20m ./...
	go test -run Allocations ./tracing ./web

# What the tests need besides Go is installed where that is possible (Debian, as root); elsewhere this says what is missing.
.PHONY: test-needs
test-needs:
	@./.ci/needs

.PHONY: lint
lint: $(GOLANGCI) ## check formatting, vet and the rules between packages
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "gofmt would change:"; echo "$$unformatted"; exit 1; }
	go vet ./...
	$(GOLANGCI) run --allow-parallel-runners ./...

$(GOLANGCI):
	mkdir -p $(BIN)
	GOBIN=$(BIN) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
	mv $(BIN)/golangci-lint $@

# What is checked is what a build with Go's defaults makes: with the toolchain that go.mod names.
.PHONY: vulncheck
vulncheck: $(GOVULNCHECK) ## look for known vulnerabilities in what the code calls
	@toolchain=$$(go mod edit -json | sed -nE 's/.*"Toolchain": "(.*)".*/\1/p'); \
	GOTOOLCHAIN=$${toolchain:-local} $(GOVULNCHECK) -db "$$(./.ci/vulndb)" -test ./...

$(GOVULNCHECK):
	mkdir -p $(BIN)
	GOBIN=$(BIN) go install golang.org/x/vuln/cmd/govulncheck@v1.9.0
	mv $(BIN)/govulncheck $@

# Each line but one takes SOAK: the model check in both of its modes, power failures in both, and what kills, cuts and outages do
# to real processes, again and again. The other runs the scenarios of the Engine.IO and Socket.IO documents over the network, each
# a hundred times, which takes about eleven minutes.
.PHONY: soak
SOAK ?= 10m
soak: ## for SOAK each: do rooms keep their promises, do stores survive power failures, do nodes survive each other; and Socket.IO's scenarios, a hundred times
	SOAK=$(SOAK) go test -count=1 -timeout 0 -run 'SeveralNodesKeep' ./rooms/promises
	SOAK=$(SOAK) go test -count=1 -timeout 0 -run 'ANodeKeeps' ./rooms/promises
	SOAK=$(SOAK) go test -count=1 -timeout 0 -run 'PowerLoss.*Full' ./rooms/store
	SOAK=$(SOAK) go test -count=1 -timeout 0 -run 'PowerLoss.*Normal' ./rooms/store
	SCENARIOS=100 go test -race -count=1 -timeout 0 -run 'ScenariosOver' ./web/socketio/...
	@sleep $(SOAK) & time=$$!; while kill -0 $$time 2>/dev/null; do \
		go test -race -count=1 -run 'Killed|Outages|MayComeAndGoAndDie|EveryMember|Presence' ./rooms ./rooms/store ./app || { kill $$time; exit 1; }; \
	done

.PHONY: fuzz
FUZZTIME ?= 30s
fuzz: ## let every fuzz target run for FUZZTIME; what it finds is kept in testdata
	@for target in $$(grep -rEl '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u); do \
		for name in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]+' $$target/*_test.go | sed 's/func //'); do \
			echo "$$target $$name"; go test -run '^$$' -fuzz "^$$name$$" -fuzztime $(FUZZTIME) $$target; \
			./.ci/corpus $$target $$name; \
		done; \
	done

.PHONY: bench
BENCH ?= -only fanout,refs,cluster
bench: ## measure CPU per delivery against the floor and two peers, what a ref costs, and one to three nodes; BENCH="-h" shows all that can be measured
	go run ./app/bench $(BENCH)

.PHONY: pictures
pictures: ## take the README's pictures anew
	PAGE_PICTURES=$(CURDIR)/web/page go test -count=1 -run TestPictures ./web/page

-include dashboards/stack.mk
