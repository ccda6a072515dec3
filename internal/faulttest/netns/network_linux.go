package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupe-actors/troupe/internal/twin"
)

// address is where the server listens in its namespace.
const address = "10.111.0.1:8080"

// The ends of the wire.
const (
	atServer = iota
	atClients
)

// network is two namespaces, and the wire between them.
type network struct {
	oneWay  bool // what the clients send is not lost
	names   [2]string
	devices [2]*os.File
	lines   [2]chan packet // to each end
	ends    sync.WaitGroup

	mu   sync.Mutex // guards what follows
	now  weather
	dice *rand.Rand
}

// packet is on its way.
type packet struct {
	bytes []byte
	due   time.Time
}

func newNetwork(seed uint64) (_ *network, err error) {
	n := &network{dice: rand.New(rand.NewPCG(seed, 0))}
	for end := range n.names {
		n.names[end] = fmt.Sprintf("troupe-%d-%d", os.Getpid(), end)
		n.lines[end] = make(chan packet, 1<<16)
		if err := n.attach(end); err != nil {
			n.close()
			return nil, err
		}
	}
	for end := range n.names {
		n.ends.Go(func() { n.take(end) })
		n.ends.Go(func() { n.deliver(end) })
	}
	return n, nil
}

// attach makes a namespace with a device whose packets are ours.
func (n *network) attach(end int) error {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("netns: /dev/net/tun: %w", err)
	}
	device := fmt.Sprintf("tr%d-%d", os.Getpid(), end)
	r, err := unix.NewIfreq(device)
	if err != nil {
		return fmt.Errorf("netns: %w", err)
	}
	r.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, r); err != nil {
		return fmt.Errorf("netns: making the device %s: %w", device, err)
	}
	n.devices[end] = os.NewFile(uintptr(fd), device)
	name := n.names[end]
	for _, args := range []string{
		"netns add " + name,
		"link set " + device + " netns " + name,
		fmt.Sprintf("-n %s address add 10.111.0.%d/24 dev %s", name, end+1, device),
		"-n " + name + " link set " + device + " up",
		"-n " + name + " link set lo up",
	} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			return fmt.Errorf("netns: ip %s: %w: %s", args, err, out)
		}
	}
	return nil
}

// close gives all back.
func (n *network) close() {
	for end, d := range n.devices {
		if d != nil {
			_ = d.Close()
		}
		// It may not be there.
		_ = exec.Command("ip", "netns", "delete", n.names[end]).Run()
	}
	n.ends.Wait()
}

// start begins this program again at one end.
func (n *network) start(end int, role string) (*twin.Process, error) {
	return twin.Start(role, "ip", "netns", "exec", n.names[end])
}

// wire has it be so from now on.
func (n *network) wire(w weather) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.now = w
}

// take reads what one end sends, until the device is closed, and puts it on the
// line to the other.
func (n *network) take(end int) {
	to := n.lines[1-end]
	defer close(to)
	b := make([]byte, 1<<16)
	for {
		k, err := n.devices[end].Read(b)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			continue // the device is not up yet
		}
		n.mu.Lock()
		lost := n.dice.Float64() < n.now.loss && !(n.oneWay && end == atClients)
		delay := n.now.delay
		n.mu.Unlock()
		if lost {
			continue
		}
		select {
		case to <- packet{append([]byte(nil), b[:k]...), time.Now().Add(delay)}:
		default: // as a router whose queue is full
		}
	}
}

// deliver gives an end its packets when they are due.
func (n *network) deliver(end int) {
	for p := range n.lines[end] {
		time.Sleep(time.Until(p.due))        // the delay itself
		_, _ = n.devices[end].Write(p.bytes) // a packet that does not get through is one that is lost
	}
}
