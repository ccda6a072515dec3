package mailbox

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// series is a run of numbers, each of its size.
type series struct{ numbers, sizes []int }

func (s *series) SizeOf(n int) int { return s.sizes[len(s.sizes)-n] }

// item is the whole series.
func (s *series) item() Item {
	it := Item{Message: s, Count: int32(len(s.sizes)), Extra: true}
	for _, size := range s.sizes {
		it.Size += size
	}
	return it
}

// messages are those an item stands for, and what they count for.
func messages(it Item) (numbers, sizes []int) {
	if s, ok := it.Message.(*series); ok {
		from := len(s.sizes) - it.Messages()
		return s.numbers[from:], s.sizes[from:]
	}
	return []int{it.Message.(int)}, []int{it.Size}
}

// A run is what its messages are when they are posted one by one: the same wait,
// in the same order, with the same outcomes, whatever else is posted, under
// whatever policy, and however full it is.
func TestARunIsItsMessages(t *testing.T) {
	policies := rapid.SampledFrom([]Policy{Reject, DropOldest, DropNewest, Close, Latest("a"), Latest("b")})
	size := rapid.IntRange(0, 40)
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{Messages: rapid.IntRange(1, 20).Draw(t, "messages"), Bytes: rapid.IntRange(30, 200).Draw(t, "bytes")}
		limit := rapid.Int64Range(50, 400).Draw(t, "budget")
		var boxes [2]*fake // the first gets runs
		for i := range boxes {
			cfg := cfg
			cfg.Budget = NewBudget(limit)
			boxes[i] = new(fake)
			boxes[i].Init(&cfg, boxes[i])
		}
		number := 0
		taken, takenBytes := 0, 0
		post := func(f *fake, number, size int, p Policy) {
			_ = f.Post(Item{Message: number, Size: size, Extra: true}, p)
		}
		t.Repeat(map[string]func(*rapid.T){
			"post": func(t *rapid.T) {
				number++
				p, size := policies.Draw(t, "policy"), size.Draw(t, "size")
				for _, f := range boxes {
					post(f, number, size, p)
				}
			},
			"run": func(t *rapid.T) {
				p := policies.Draw(t, "policy")
				s := &series{sizes: rapid.SliceOfN(size, 1, 12).Draw(t, "sizes")}
				for range s.sizes {
					number++
					s.numbers = append(s.numbers, number)
				}
				boxed := boxes[0].PostRun(s.item(), p)
				for i, number := range s.numbers {
					if !boxed {
						post(boxes[0], number, s.sizes[i], p)
					}
					post(boxes[1], number, s.sizes[i], p)
				}
			},
			"take": func(t *rapid.T) {
				it, ok := boxes[0].Take()
				if !ok {
					return
				}
				numbers, sizes := messages(it)
				sum := 0
				for i, number := range numbers {
					one, _ := boxes[1].Take()
					if one.Message != number || one.Size != sizes[i] {
						t.Fatalf("message %d of %d bytes, one by one %v of %d", number, sizes[i], one.Message, one.Size)
					}
					sum += sizes[i]
				}
				if it.Size != sum {
					t.Fatalf("a run of %d bytes counts for %d", sum, it.Size)
				}
				taken += len(numbers)
				takenBytes += sum
			},
			"settle": func(*rapid.T) {
				for _, f := range boxes {
					f.Settle(taken, takenBytes)
				}
				taken, takenBytes = 0, 0
			},
			"": func(t *rapid.T) {
				var waiting, bytes [2]int
				for i, f := range boxes {
					waiting[i], bytes[i] = f.Waiting()
				}
				if waiting[0] != waiting[1] || bytes[0] != bytes[1] || boxes[0].cfg.Budget.Used() != boxes[1].cfg.Budget.Used() {
					t.Fatalf("%v messages, %v bytes wait", waiting, bytes)
				}
				if !maps.Equal(boxes[0].outcomes, boxes[1].outcomes) || !slices.Equal(boxes[0].noted(), boxes[1].noted()) {
					t.Fatalf("outcomes %v, one by one %v", boxes[0].outcomes, boxes[1].outcomes)
				}
			},
		})
		for _, f := range boxes {
			f.Empty()
			f.Settle(taken, takenBytes)
			if n, bytes := f.Waiting(); n != 0 || bytes != 0 || f.cfg.Budget.Used() != 0 {
				t.Fatalf("%d messages of %d bytes are still counted", n, bytes)
			}
		}
		if !maps.Equal(boxes[0].outcomes, boxes[1].outcomes) {
			t.Fatalf("outcomes %v, one by one %v", boxes[0].outcomes, boxes[1].outcomes)
		}
	})
}
