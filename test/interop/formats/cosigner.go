package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/transparency-dev/formats/log"
	formats "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	acceptanceLine = "holdfast/acceptance/v1\n"
	rosterLine     = "holdfast/roster/v1\n"
	// largestFile is more than any file of a log may have.
	largestFile = 1 << 25
)

// expectation is what somebody knows of a log beforehand.
type expectation struct {
	Fleet string `json:"fleet"`
	// Verifier keys.
	Log       string   `json:"log"`
	Witnesses []string `json:"witnesses"`
	Cosigner  string   `json:"cosigner"`
	Operator  string   `json:"operator"`
	Roster    string   `json:"roster"`
	// A checkpoint of this log, signed by it, that was seen before.
	Older string `json:"older"`
}

type finding struct {
	Size  uint64 `json:"size"`
	Root  []byte `json:"root"`
	Older uint64 `json:"older"`
	// Seconds since 1970 of each witness's cosignature, by name.
	Cosigned map[string]int64 `json:"cosigned"`
	// The place of the acceptance in the log, and the SHA-256 of the bundle's text in hexadecimal.
	Acceptance int    `json:"acceptance"`
	Digest     string `json:"digest"`
	// What the trust set says besides the log.
	Kept []tlogProof `json:"kept"`
}

// server asks for each file once, because tlog keeps no tiles.
func server(url string) source {
	client := http.Client{Timeout: 20 * time.Second}
	kept := map[string][]byte{}
	return func(path string) ([]byte, error) {
		if data, ok := kept[path]; ok {
			return data, nil
		}
		response, err := client.Get(url + "/" + path)
		if err != nil {
			return nil, err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("%s: %s", path, response.Status)
		}
		data, err := io.ReadAll(io.LimitReader(response.Body, largestFile))
		if err == nil {
			kept[path] = data
		}
		return data, err
	}
}

// checkCosigner reads a whole log from its cosigner, with the newest trust set of a fleet, and verifies everything.
func checkCosigner(arguments []string) (any, error) {
	read := server(arguments[0])
	var known expectation
	if err := readJSON(arguments[1], &known); err != nil {
		return nil, err
	}
	data, err := read("checkpoint")
	if err != nil {
		return nil, err
	}
	found := finding{Cosigned: map[string]int64{}}
	head, err := found.openCheckpoint(data, known)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	tree := tlog.Tree{N: int64(head.Size), Hash: tlog.Hash(head.Hash)}
	reader := tlog.TileHashReader(tree, tiles{read})
	if err := found.checkGrowth(tree, reader, known); err != nil {
		return nil, fmt.Errorf("consistency: %w", err)
	}
	entries, err := readEntries(tree, reader, read)
	if err != nil {
		return nil, err
	}
	bundle, err := found.openAcceptance(entries, known)
	if err != nil {
		return nil, fmt.Errorf("acceptance: %w", err)
	}
	roster := entries[len(entries)-1]
	if err := found.openRoster(roster, known); err != nil {
		return nil, fmt.Errorf("roster: %w", err)
	}
	for _, index := range []int{found.Acceptance, len(entries) - 1} {
		proof, err := tlog.ProveRecord(tree.N, int64(index), reader)
		if err != nil {
			return nil, err
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, int64(index), tlog.RecordHash(entries[index])); err != nil {
			return nil, fmt.Errorf("inclusion of %d: %w", index, err)
		}
	}
	if err := found.openTrustSet(read, bundle, roster, known); err != nil {
		return nil, fmt.Errorf("trust set: %w", err)
	}
	return found, nil
}

// openCheckpoint asks for the log's signature and those of all witnesses.
func (f *finding) openCheckpoint(data []byte, known expectation) (*log.Checkpoint, error) {
	key, err := note.NewVerifier(known.Log)
	if err != nil {
		return nil, err
	}
	var witnesses []note.Verifier
	for _, vkey := range known.Witnesses {
		witness, err := formats.NewVerifierForCosignatureV1(vkey)
		if err != nil {
			return nil, err
		}
		witnesses = append(witnesses, witness)
	}
	head, rest, opened, err := log.ParseCheckpoint(data, key.Name(), key, witnesses...)
	if err != nil {
		return nil, err
	}
	if len(rest) != 0 || len(opened.Sigs) != 1+len(witnesses) || len(opened.UnverifiedSigs) != 0 {
		return nil, fmt.Errorf("%d signatures verify, %d do not", len(opened.Sigs), len(opened.UnverifiedSigs))
	}
	for _, signature := range opened.Sigs {
		if signature.Name == key.Name() {
			continue
		}
		at, err := formats.CoSigV1Timestamp(signature)
		if err != nil {
			return nil, err
		}
		f.Cosigned[signature.Name] = at.Unix()
	}
	f.Size, f.Root = head.Size, head.Hash
	return head, nil
}

// checkGrowth is about the checkpoint seen before.
func (f *finding) checkGrowth(tree tlog.Tree, reader tlog.HashReader, known expectation) error {
	key, err := note.NewVerifier(known.Log)
	if err != nil {
		return err
	}
	older, _, _, err := log.ParseCheckpoint([]byte(known.Older), key.Name(), key)
	if err != nil {
		return err
	}
	f.Older = older.Size
	proof, err := tlog.ProveTree(tree.N, int64(older.Size), reader)
	if err != nil {
		return err
	}
	return tlog.CheckTree(proof, tree.N, tree.Hash, int64(older.Size), tlog.Hash(older.Hash))
}

// openAcceptance gives the bundle's note: of two lines, the cosigner's and the operator's.
func (f *finding) openAcceptance(entries [][]byte, known expectation) ([]byte, error) {
	f.Acceptance = -1
	for i, entry := range entries {
		if bytes.HasPrefix(entry, []byte(acceptanceLine)) {
			f.Acceptance = i
		}
	}
	if f.Acceptance < 0 {
		return nil, errors.New("there is none")
	}
	data := bytes.TrimPrefix(entries[f.Acceptance], []byte(acceptanceLine))
	opened, err := openNote(data, []string{known.Cosigner, known.Operator})
	if err != nil {
		return nil, err
	}
	if len(opened.Sigs) != 2 || len(opened.UnverifiedSigs) != 0 {
		return nil, fmt.Errorf("%d signatures verify, %d do not", len(opened.Sigs), len(opened.UnverifiedSigs))
	}
	digest := sha256.Sum256([]byte(opened.Text))
	f.Digest = hex.EncodeToString(digest[:])
	return data, nil
}

// openRoster checks that the log's last leaf names this acceptance.
func (f *finding) openRoster(entry []byte, known expectation) error {
	opened, err := openNote(entry, []string{known.Roster})
	if err != nil {
		return err
	}
	body, ok := strings.CutPrefix(opened.Text, rosterLine)
	if !ok || len(opened.Sigs) != 1 || len(opened.UnverifiedSigs) != 0 {
		return errNotVerified
	}
	var roster struct {
		Origin string
		Size   uint64
		Fleets []struct {
			Fleet, Digest, State string
			Index                int
		}
	}
	if err := json.Unmarshal([]byte(body), &roster); err != nil {
		return err
	}
	if roster.Size != f.Size-1 || !strings.HasPrefix(known.Log, roster.Origin+"+") {
		return errors.New("it is of another place")
	}
	for _, fleet := range roster.Fleets {
		if fleet.Fleet == known.Fleet {
			if fleet.State != "live" || fleet.Digest != f.Digest || fleet.Index != f.Acceptance {
				return fmt.Errorf("it lists another bundle, at %d", fleet.Index)
			}
			return nil
		}
	}
	return errors.New("it does not list the fleet")
}

// openTrustSet checks that the set is about the same bundle, and its proofs, each of which stands by itself.
func (f *finding) openTrustSet(read source, bundle, roster []byte, known expectation) error {
	data, err := read("trust/" + known.Fleet)
	if err != nil {
		return err
	}
	// A map, because Go does not look at the case of letters where there is a structure.
	var set map[string]json.RawMessage
	if err := json.Unmarshal(data, &set); err != nil {
		return err
	}
	texts := map[string]string{}
	for _, name := range []string{"bundle", "acceptance", "roster", "rosterProof"} {
		var text string
		if err := json.Unmarshal(set[name], &text); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		texts[name] = text
	}
	if texts["bundle"] != string(bundle) || texts["roster"] != string(roster) {
		return errors.New("it has another bundle or roster than the log")
	}
	keys := append([]string{known.Log}, known.Witnesses...)
	for _, each := range []struct{ proof, entry string }{
		{texts["acceptance"], acceptanceLine + texts["bundle"]},
		{texts["rosterProof"], texts["roster"]},
	} {
		proof, err := openProof([]byte(each.proof), tlog.RecordHash([]byte(each.entry)), keys)
		if err != nil {
			return err
		}
		f.Kept = append(f.Kept, *proof)
	}
	return nil
}
