package transport_test

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/troupe-actors/troupe/transport"
)

// deflateOffer is a permessage-deflate offer, read by the grammar of RFC 6455 §9.1.
type deflateOffer struct {
	params map[string]string // "": no value
	legal  bool              // RFC 7692 §7.1: to be accepted
}

const tokenPattern = "[-!#$%&'*+.^_`|~0-9A-Za-z]+"

var (
	offerItem  = regexp.MustCompile(`(?:"(?:\\.|[^"\\])*"|[^,"])+`)
	offerParam = regexp.MustCompile(`;[ \t]*(` + tokenPattern + `)[ \t]*(?:=[ \t]*(?:(` + tokenPattern + `)|"((?:\\.|[^"\\])*)"))?[ \t]*`)
	offerWhole = regexp.MustCompile(`^[ \t]*(?i:permessage-deflate)[ \t]*((?:` + offerParam.String() + `)*)$`)
	windowSize = regexp.MustCompile(`^([89]|1[0-5])$`)
)

// deflateOffers are those of a header that the grammar allows.
func deflateOffers(lines []string) (offers []deflateOffer) {
	for _, item := range offerItem.FindAllString(strings.Join(lines, ","), -1) {
		m := offerWhole.FindStringSubmatch(item)
		if m == nil || strings.ContainsAny(m[0], "\u017f\u212a") { // which (?i) takes for s and k
			continue
		}
		o := deflateOffer{params: map[string]string{}, legal: true}
		for _, p := range offerParam.FindAllStringSubmatch(m[1], -1) {
			key, value := strings.ToLower(p[1]), p[2]+regexp.MustCompile(`\\(.)`).ReplaceAllString(p[3], "$1")
			given := strings.Contains(p[0], "=")
			_, twice := o.params[key]
			o.params[key] = value
			switch key {
			case "server_no_context_takeover", "client_no_context_takeover":
				o.legal = o.legal && !twice && !given
			case "server_max_window_bits":
				o.legal = o.legal && !twice && windowSize.MatchString(value)
			case "client_max_window_bits":
				o.legal = o.legal && !twice && (!given || windowSize.MatchString(value))
			default:
				o.legal = false
			}
		}
		offers = append(offers, o)
	}
	return offers
}

// grants tells whether a response may answer the offer (RFC 7692 §7.1).
func (o deflateOffer) grants(response map[string]string) bool {
	_, noTakeover := o.params["server_no_context_takeover"]
	_, granted := response["server_no_context_takeover"]
	if noTakeover && !granted {
		return false
	}
	for _, side := range []string{"server", "client"} {
		asked, wants := o.params[side+"_max_window_bits"]
		given, has := response[side+"_max_window_bits"]
		most, least := bitsOr(asked, 15), bitsOr(given, 15)
		switch {
		case side == "server" && wants && (!has || least > most):
			return false
		case side == "client" && has && (!wants || least > most):
			return false
		}
	}
	return true
}

func bitsOr(s string, otherwise int) int {
	if n, err := strconv.Atoi(s); err == nil {
		return n
	}
	return otherwise
}

// checkAgreement holds the answer to offers against RFC 7692 §7.1. Where the lines
// follow the grammar, the first legal offer must have been taken.
func checkAgreement(t *testing.T, lines []string, response string) {
	t.Helper()
	offers := deflateOffers(lines)
	first := slices.IndexFunc(offers, func(o deflateOffer) bool { return o.legal })
	if response == "" {
		if first >= 0 && areExtensions(lines) && strings.Count(strings.Join(lines, ","), `"`) == 0 {
			t.Errorf("%q: %q was not taken", lines, offers[first].params)
		}
		return
	}
	answers := deflateOffers([]string{response})
	if len(answers) != 1 || !answers[0].legal || response != strings.ToLower(response) {
		t.Fatalf("%q is answered %q", lines, response)
	}
	if first < 0 || !offers[first].grants(answers[0].params) {
		t.Errorf("%q is answered %q", lines, response)
	}
}

// FuzzOffer has a link agree on what any lines of Sec-WebSocket-Extensions offer.
func FuzzOffer(f *testing.F) {
	for _, s := range []string{
		"", "permessage-deflate", "PerMessage-Deflate;client_max_window_bits", "x, permessage-deflate; server_max_window_bits=9, permessage-deflate",
		`permessage-deflate; server_max_window_bits="1\0"; client_max_window_bits=8`, "permessage-deflate; server_no_context_takeover=1,permessage-deflate",
		"permessage-deflate; client_no_context_takeover; client_no_context_takeover\npermessage-deflate", `x; y="permessage-deflate, \"", permessage-deflate;`,
		"perme\u017fsage-deflate, permessage-deflate; server_no_context_ta\u212aeover",
		"permessage-deflate; server_max_window_bits=010", "permessage-deflate; client_max_window_bits; client_max_window_bits=9", "permessage-deflate;;server_no_context_takeover", "permessage-deflate ; server_no_context_takeover ,",
	} {
		f.Add(s, uint8(len(s)))
	}
	f.Fuzz(func(t *testing.T, offer string, settings uint8) {
		held := 0
		d := &transport.Deflate{ServerTakeover: settings&1 != 0, ClientTakeover: settings&2 != 0, Reserve: func(n int) bool {
			if n > 0 && settings&4 != 0 {
				return false
			}
			held += n
			return true
		}}
		l, _ := (&transport.Config{Deflate: d}).MemoryPair(0)
		lines := strings.Split(offer, "\n")
		response := transport.Agree(l, lines...)
		checkAgreement(t, lines, response)
		if most := 4<<10 + 32<<10; held < 0 || held > most {
			t.Errorf("%d bytes held for %q", held, offer)
		}
		for _, c := range []struct {
			takeover bool
			param    string
		}{{d.ServerTakeover, "server_no_context_takeover"}, {d.ClientTakeover, "client_no_context_takeover"}} {
			if response != "" && (!c.takeover || settings&4 != 0) && !strings.Contains(response, c.param) {
				t.Errorf("%q is answered %q: without %s", offer, response, c.param)
			}
		}
		l.Release()
		if held != 0 {
			t.Errorf("%d bytes not given back", held)
		}
	})
}
