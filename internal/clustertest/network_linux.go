package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// network is a namespace for each node, and the switch between them: each has a TUN
// device, whose packets this process carries to the others.
type network struct {
	names   []string
	devices []*os.File
	lines   []chan packet // to each node
	ends    sync.WaitGroup

	mu   sync.Mutex // guards what follows
	now  weather
	cut  cut
	dice *rand.Rand
	lost int
}

// packet is on its way.
type packet struct {
	bytes []byte
	due   time.Time
}

// ip is a node's address in the network.
func ip(i int) string { return fmt.Sprintf("10.112.0.%d", i+1) }

func newNetwork(nodes int, seed uint64) (_ *network, err error) {
	n := &network{
		names: make([]string, nodes), devices: make([]*os.File, nodes), lines: make([]chan packet, nodes),
		dice: rand.New(rand.NewPCG(seed, 0)),
	}
	for i := range n.names {
		n.names[i] = fmt.Sprintf("troupe-c%d-%d", os.Getpid(), i)
		n.lines[i] = make(chan packet, 1<<14)
		if err := n.attach(i); err != nil {
			n.close()
			return nil, err
		}
	}
	var takers sync.WaitGroup
	for i := range n.names {
		takers.Go(func() { n.take(i) })
		n.ends.Go(func() { n.deliver(i) })
	}
	n.ends.Go(func() {
		takers.Wait()
		for _, l := range n.lines {
			close(l)
		}
	})
	return n, nil
}

// attach makes a namespace with a device whose packets are ours.
func (n *network) attach(i int) error {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("clustertest: /dev/net/tun: %w", err)
	}
	device := fmt.Sprintf("tc%d-%d", os.Getpid(), i)
	r, err := unix.NewIfreq(device)
	if err != nil {
		return fmt.Errorf("clustertest: %w", err)
	}
	r.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, r); err != nil {
		return fmt.Errorf("clustertest: making the device %s: %w", device, err)
	}
	n.devices[i] = os.NewFile(uintptr(fd), device)
	name := n.names[i]
	for _, args := range []string{
		"netns add " + name,
		"link set " + device + " netns " + name,
		fmt.Sprintf("-n %s address add %s/24 dev %s", name, ip(i), device),
		"-n " + name + " link set " + device + " up",
		"-n " + name + " link set lo up",
	} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			return fmt.Errorf("clustertest: ip %s: %w: %s", args, err, out)
		}
	}
	return nil
}

// close gives all back.
func (n *network) close() {
	for i, d := range n.devices {
		if d != nil {
			_ = d.Close()
		}
		// It may not be there.
		_ = exec.Command("ip", "netns", "delete", n.names[i]).Run()
	}
	n.ends.Wait()
}

// at is the command that runs another in a node's namespace.
func (n *network) at(i int) []string { return []string{"ip", "netns", "exec", n.names[i]} }

// be has the weather be so from now on.
func (n *network) be(w weather) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.now = w
}

// sever has some packets never come, from now on; with nil all do.
func (n *network) sever(c cut) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = c
}

// losses is how many packets were lost by the weather.
func (n *network) losses() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lost
}

// take reads what one node sends, until the device is closed, and puts it on the
// line to another.
func (n *network) take(from int) {
	b := make([]byte, 1<<16)
	for {
		k, err := n.devices[from].Read(b)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil || k < 20 || b[0]>>4 != 4 {
			continue // the device is not up yet; or it is no IPv4
		}
		to := int(b[19]) - 1
		if to < 0 || to >= len(n.lines) {
			continue // a broadcast
		}
		n.mu.Lock()
		lost := n.dice.Float64() < n.now.loss
		if lost {
			n.lost++
		}
		lost = lost || n.cut != nil && n.cut(from, to, ofPipe(b[:k]))
		delay := n.now.delay
		n.mu.Unlock()
		if lost {
			continue
		}
		select {
		case n.lines[to] <- packet{append([]byte(nil), b[:k]...), time.Now().Add(delay)}:
		default: // as a switch whose queue is full
		}
	}
}

// ofPipe tells whether an IPv4 packet is from or to the port for messages.
func ofPipe(b []byte) bool {
	ports := int(b[0]&15) * 4
	return b[9] == unix.IPPROTO_TCP && len(b) >= ports+4 &&
		(binary.BigEndian.Uint16(b[ports:]) == pipePort || binary.BigEndian.Uint16(b[ports+2:]) == pipePort)
}

// deliver gives a node its packets when they are due.
func (n *network) deliver(to int) {
	for p := range n.lines[to] {
		time.Sleep(time.Until(p.due))       // the delay itself
		_, _ = n.devices[to].Write(p.bytes) // a packet that does not get through is one that is lost
	}
}
