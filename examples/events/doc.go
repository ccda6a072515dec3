// Command events is the chat that docs/tutorial.md builds: names, who is here, what was
// said before, and a question of the server's, over sessions that survive their
// connections.
//
//	go run ./examples/events
//
// Then open http://localhost:8080/?name=ann in one window and
// http://localhost:8080/?name=bob in another.
package main
