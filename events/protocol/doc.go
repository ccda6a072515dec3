// Package protocol is what a client and a server of events say to each other,
// without anybody who says it: messages and their text, hellos, close codes, and
// what is kept until the other side has acknowledged it. docs/protocol.md is the
// contract; its sections are named here with §.
//
//	Parse    bytes ─► Message, without an allocation
//	Append…  fields ─► bytes
//	Replay   what was said and is not acknowledged, by number
//
// Nothing here waits, starts a goroutine, or knows the time.
package protocol
