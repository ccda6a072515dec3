package histogram

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestEveryNumberLiesInItsBucket(t *testing.T) {
	last := -1
	for _, v := range []uint64{0, 1, 126, 127, 128, 129, 255, 256, 257, 511, 512, 1 << 20, 1<<20 + 1, 1<<62 - 1, 1 << 62, 1<<63 - 1} {
		b := bucket(v)
		if b < last {
			t.Errorf("bucket(%d) = %d, below that of a smaller number, %d", v, b, last)
		}
		last = b
		if top := highest(b); top < v || float64(top-v) > float64(v)/fine {
			t.Errorf("%d is in bucket %d, whose highest is %d", v, b, top)
		}
		if b > 0 && highest(b-1) >= v {
			t.Errorf("%d is in bucket %d, but the one before goes up to %d", v, b, highest(b-1))
		}
	}
	if last >= buckets {
		t.Fatalf("bucket %d of %d", last, buckets)
	}
}

func TestQuantilesAreThoseOfTheSortedNumbers(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var h, one, two Histogram
	var all []time.Duration
	for i := range 10_000 {
		d := time.Duration(random.ExpFloat64() * float64(time.Millisecond))
		all = append(all, d)
		h.Record(d)
		if i%2 == 0 {
			one.Record(d)
		} else {
			two.Record(d)
		}
	}
	slices.Sort(all)
	one.Add(&two)
	for _, q := range []float64{0, 0.001, 0.5, 0.9, 0.99, 0.999, 1} {
		rank := max(int(q*float64(len(all))), 1)
		want, got := all[rank-1], h.Quantile(q)
		if got < want || float64(got) > float64(want)*(1+1.0/fine)+1 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
		if both := one.Quantile(q); both != got {
			t.Errorf("quantile %v of two halves is %v, of the whole %v", q, both, got)
		}
	}
	if h.Max() != all[len(all)-1] || h.Count() != uint64(len(all)) {
		t.Errorf("max %v of %d", h.Max(), h.Count())
	}
}

func TestAnEmptyHistogramIsZero(t *testing.T) {
	var h Histogram
	h.Record(time.Second)
	h.Record(-time.Second)
	if h.Count() != 2 || h.Quantile(0.5) != 0 || h.Mean() != time.Second/2 {
		t.Errorf("count %d, median %v, mean %v", h.Count(), h.Quantile(0.5), h.Mean())
	}
	h.Reset()
	if h.Count() != 0 || h.Quantile(0.99) != 0 || h.Mean() != 0 || h.Max() != 0 {
		t.Error("not empty after Reset")
	}
}

func TestRecordingAllocatesNothing(t *testing.T) {
	var h Histogram
	if n := testing.AllocsPerRun(100, func() { h.Record(12345) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
