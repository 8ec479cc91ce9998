# Tests of the demo stack; see dashboards/stacktest/doc.go. The programs are built once, into .bin, which takes about ten
# minutes on two cores with an empty build cache.
STACKTEST := dashboards/stacktest

.PHONY: stack-tools test-stack

stack-tools: .bin/prometheus .bin/promtool .bin/jaeger .bin/k6

.bin/prometheus: PACKAGE := github.com/prometheus/prometheus/cmd/prometheus
.bin/promtool: PACKAGE := github.com/prometheus/prometheus/cmd/promtool
.bin/prometheus .bin/promtool: $(STACKTEST)/tools/prometheus/go.mod
	go -C $(<D) build -tags remove_all_sd -o $(CURDIR)/$@ $(PACKAGE)
	@touch $@

.bin/jaeger: $(STACKTEST)/tools/jaeger/go.mod
	go -C $(<D) build -o $(CURDIR)/$@ github.com/jaegertracing/jaeger/cmd/jaeger
	@touch $@

.bin/k6: $(STACKTEST)/tools/k6/go.mod
	go -C $(<D) build -o $(CURDIR)/$@ go.k6.io/k6
	@touch $@

test-stack: stack-tools
	go -C $(STACKTEST) vet ./...
	go -C $(STACKTEST) test -race -count=1 -timeout 10m ./...
