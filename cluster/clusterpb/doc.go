// Package clusterpb is what two troupe nodes say to each other, as protobuf, and what any
// program with protoactor's remote can say to a channel: [Push] and [Close]. The
// sources, cluster.proto, record.proto and channel.proto, are beside it.
//
// The generated files were written by protoc 3.21.12 and protoc-gen-go v1.36.12.
// They are generated from the module's root: a program may link only one file
// that registers itself as "cluster.proto", and protoactor has one.
package clusterpb

//go:generate go build -o protoc-gen-go google.golang.org/protobuf/cmd/protoc-gen-go
//go:generate protoc --plugin=./protoc-gen-go --proto_path=../.. --go_out=../.. --go_opt=paths=source_relative cluster/clusterpb/cluster.proto cluster/clusterpb/record.proto cluster/clusterpb/channel.proto
//go:generate rm protoc-gen-go
