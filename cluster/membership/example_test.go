package membership_test

import (
	"fmt"

	"github.com/troupe-actors/troupe/cluster/membership"
)

func ExampleStatic() {
	var hub membership.Static
	sees := make(chan string)
	a, b := hub.Provider(), hub.Provider()
	err := a.Start(membership.Member{Name: "a", Addr: "10.0.0.1:8090", Epoch: 1, Process: "1f"}, func(list []membership.Member) {
		sees <- fmt.Sprintln("a sees", list)
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer a.Stop()
	if err := b.Start(membership.Member{Name: "b", Addr: "10.0.0.2:8090", Epoch: 1, Process: "2f"}, func([]membership.Member) {}); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(<-sees)
	hub.Cut([]string{"a"}, []string{"b"})
	fmt.Print(<-sees)
	b.Stop()
	// Output:
	// a sees [{b 10.0.0.2:8090 1 2f false}]
	// a sees []
}
