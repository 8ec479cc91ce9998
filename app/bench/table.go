package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// table is printed as Markdown that is aligned in the source too.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// write prints the table. Rendered, the first column is aligned left and all others right.
func (t *table) write(w io.Writer) error {
	rule := make([]string, len(t.head))
	for i := range rule {
		rule[i] = "---:"
	}
	rule[0] = "---"
	tw := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	for _, row := range append([][]string{t.head, rule}, t.rows...) {
		row = append(row, make([]string, len(t.head)-len(row))...)
		fmt.Fprintln(tw, "| "+strings.Join(row, "\t| ")+"\t|")
	}
	return tw.Flush()
}

// figure formats v with three significant digits; NaN is "-".
func figure(v float64) string {
	switch {
	case v != v:
		return "-"
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

func milliseconds(d time.Duration) string { return figure(d.Seconds()*1e3) + " ms" }

func mebibytes(n int64) string { return figure(float64(n)/(1<<20)) + " MiB" }

// verdict says whether a budget was kept.
func verdict(kept bool) string {
	if kept {
		return "kept"
	}
	return "missed"
}
