package memberlist

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-actors/troupe/cluster/membership/membershiptest"
	"github.com/troupe-actors/troupe/supervisor"
)

func TestLinesHaveLevelsAndBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said membershiptest.Log
		ctx, stop := context.WithCancel(t.Context())
		l := &logging{ctx: ctx, to: supervisor.Bounded(slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})))}
		write := func(line string) {
			if n, err := l.Write([]byte(line)); n != len(line) || err != nil {
				t.Errorf("%q: %d, %v", line, n, err)
			}
		}
		write("[DEBUG] memberlist: much\n")
		write("[ERR] memberlist: Failed fallback TCP ping: timeout\n")
		for i := range 1000 {
			write(fmt.Sprintf("[ERR] memberlist: Decrypt packet failed: bad from=10.0.0.1:%d\n", i))
		}
		write("[WARN] memberlist: ignoring alive message for 'x'\n")
		write("[INFO] memberlist: Suspect b@5 has failed")
		write("without a level")
		write("[INFO] memberlist: " + strings.Repeat("é", 1000))
		time.Sleep(time.Second)
		write("[ERR] memberlist: Decrypt packet failed: bad from=10.0.0.1:1\n")
		stop()
		write("[WARN] memberlist: after the end")
		var first strings.Builder
		for i := range 10 {
			fmt.Fprintf(&first, "level=WARN msg=\"Decrypt packet failed\" line=\"Decrypt packet failed: bad from=10.0.0.1:%d\"\n", i)
		}
		want := `level=WARN msg="Failed fallback TCP ping" line="Failed fallback TCP ping: timeout"
` + first.String() + `level=INFO msg=Suspect line="Suspect b@5 has failed"
level=INFO msg="without a level" line="without a level"
level=INFO msg=` + strings.Repeat("é", 150) + `… line=` + strings.Repeat("é", 150) + `…
level=WARN msg="Decrypt packet failed" line="Decrypt packet failed: bad from=10.0.0.1:1" left_out=990
`
		if said.String() != want {
			t.Errorf("said\n%s\nwant\n%s", said.String(), want)
		}
	})
}
