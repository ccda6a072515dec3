package lane_test

import (
	"fmt"
	"time"

	"github.com/troupe-actors/troupe/cluster/internal/lane"
)

// Two records on their way over a pipe that is a function call.
func Example() {
	s, err := lane.NewSender(lane.Config{ID: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := lane.NewReceiver(lane.Config{ID: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	now := time.Duration(0)
	for _, record := range []string{"to be", "or not"} {
		if err := s.Append(lane.Message, []byte(record)); err != nil {
			fmt.Println(err)
		}
	}
	for p, ok := s.Next(now); ok; p, ok = s.Next(now) {
		records, err := r.Take(now, p)
		if err != nil {
			fmt.Println(err)
			return
		}
		for record, ok := records.Next(); ok; record, ok = records.Next() {
			fmt.Printf("%s\n", record)
		}
		r.Handled(records)
	}
	now += lane.AckDelay
	if ack, ok := r.Ack(now); ok {
		fmt.Println(s.Acked(now, ack), s.Held(lane.Message))
	}
	// Output:
	// to be
	// or not
	// <nil> 0
}
