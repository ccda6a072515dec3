// Package transporttest is a WebSocket client for tests. It says exactly what it
// is told to, right or wrong, over memory, TCP or TLS, and answers nothing by
// itself unless asked to read whole messages. It speaks permessage-deflate, and fails
// if the server refers further back than agreed.
package transporttest
