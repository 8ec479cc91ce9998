package page

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/traceroom/traceroom/web/page/browsertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(browsertest.Run{M: m}) }
