package main

import (
	"testing"

	"github.com/traceroom/traceroom/app/apptest"
)

func TestMain(m *testing.M) { apptest.Main(m) }
