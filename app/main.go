package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/google/uuid"

	"github.com/traceroom/traceroom/tracing/inspect"
)

// version is set by the linker in releases.
var version = "dev"

// commands are the commands of the program.
type commands struct {
	Serve   serve           `cmd:"" default:"withargs" help:"Run the server. This is the default."`
	Health  health          `cmd:"" help:"Ask a running server whether it works; exits with 0 or 1. For health checks without a shell."`
	Inspect inspect.Command `cmd:"" help:"Read the trace log: call trees, what was slow, what failed, what a connection did."`
}

func main() {
	// Every message has a random id: reading random bytes for 16 ids at once costs hardly more than for one.
	uuid.EnableRandPool()
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run parses args and runs the command that they name. It returns the exit status: 0 on success, 1 on failure, 2 if a flag
// or an environment variable cannot be used.
func run(args []string, stdout, stderr io.Writer) int {
	var cli commands
	exit := -1
	parser, err := kong.New(&cli,
		kong.Name("traceroom"),
		kong.Description("A real-time chat server that shows what it does while it does it."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exit = code }),
		kong.Vars{"version": version},
		kong.UsageOnError(),
		kong.Help(help),
		kong.ValueFormatter(func(v *kong.Value) string {
			text := kong.DefaultHelpValueFormatter(v)
			if v.HasDefault {
				text += " Default: " + v.Default + "."
			}
			return text
		}),
	)
	if err != nil {
		panic(err) // the tags of the command structs are wrong
	}
	parsed, err := parser.Parse(args)
	if exit >= 0 {
		return exit // --help
	}
	if err != nil {
		fmt.Fprintf(stderr, "traceroom: %v (see --help)\n", err)
		return 2
	}
	ctx, stop := signalled()
	defer stop()
	parsed.BindTo(ctx, (*context.Context)(nil))
	parsed.Bind(&streams{stdout, stderr})
	parsed.Bind(inspect.Standard())
	if err := parsed.Run(); err != nil {
		var finding *inspect.Error
		if errors.As(err, &finding) && finding.Status == inspect.StatusFindings {
			return finding.Status // already reported
		}
		fmt.Fprintf(stderr, "traceroom: %v\n", err)
		var flag *unusableError
		var env *unusableEnvError
		if errors.As(err, &flag) || errors.As(err, &env) {
			return 2
		}
		return 1
	}
	return 0
}

// help prints the commands and, because most people use the program without one, the flags of the default command.
func help(options kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil || ctx.Selected() != nil {
		return err
	}
	fmt.Fprintln(ctx.Stdout)
	ctx.Path = append(ctx.Path, &kong.Path{Parent: ctx.Model.Node, Command: ctx.Model.DefaultCmd})
	return kong.DefaultHelpPrinter(options, ctx)
}

// streams are what a command writes to.
type streams struct{ stdout, stderr io.Writer }

// signalled returns a context that is cancelled at the first SIGINT or SIGTERM. The second ends the process at once. The
// caller must call stop.
func signalled() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, ok := <-signals; !ok {
			return
		}
		cancel()
		if _, ok := <-signals; ok {
			os.Exit(1)
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(signals)
		<-done
		cancel()
	}
}
