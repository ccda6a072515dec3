package conformance

import (
	"fmt"
	"strings"
)

// closeCases are section 7.
func closeCases() (list []publicCase) {
	const hello = "Hello World!"
	bye := farewell(1000, "")
	// then is a case whose client says goodbye by itself: what it sends is all.
	then := func(number string, frames ...[]byte) publicCase {
		return publicCase{number: number, play: func(c *client) error {
			c.said = true
			c.send(frames...)
			return nil
		}}
	}
	with := func(p publicCase, codes ...uint16) publicCase {
		p.codes = codes
		return p
	}
	long := strings.Repeat("BAsd7&jh23", 256<<10/10+1)[:256<<10]
	after := then("7.1.6", whole(opText, long), whole(opText, hello), bye, whole(opPing, ""))
	after.told = true
	list = append(list,
		publicCase{number: "7.1.1", play: sends(whole(opText, hello)), want: []event{{opText, hello}}},
		then("7.1.2", bye, whole(opClose, "")),
		then("7.1.3", bye, whole(opPing, "")),
		then("7.1.4", bye, whole(opText, hello)),
		then("7.1.5", part(opText, "fragment1"), bye, masked(bitFin|opContinuation, "fragment2")),
		after,
		with(then("7.3.1", whole(opClose, "")), 1000, 1005),
		with(then("7.3.2", whole(opClose, "a")), 1002),
		then("7.3.3", bye),
		then("7.3.4", farewell(1000, hello)),
		then("7.3.5", farewell(1000, strings.Repeat("*", 123))),
		with(then("7.3.6", farewell(1000, strings.Repeat("*", 124))), 1002),
		with(then("7.5.1", farewell(1000, kosme+"\xed\xa0\x80edited")), 1002, 1007),
	)
	for i, code := range []uint16{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999} {
		list = append(list, with(then(fmt.Sprintf("7.7.%d", i+1), farewell(code, "")), 1000, code))
	}
	for i, code := range []uint16{0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999} {
		list = append(list, with(then(fmt.Sprintf("7.9.%d", i+1), farewell(code, "")), 1002))
	}
	for i, code := range []uint16{5000, 65535} {
		p := then(fmt.Sprintf("7.13.%d", i+1), farewell(code, ""))
		p.told = true
		list = append(list, p)
	}
	return list
}
