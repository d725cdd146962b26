// Command interop does with Go's transparency log packages what Holdfast does itself, so that tests can compare: notes by
// golang.org/x/mod/sumdb/note, trees and tiles by golang.org/x/mod/sumdb/tlog, ECDSA, cosignatures and C2SP tlog-proof by
// github.com/transparency-dev/formats.
//
// It also does all that a client can do of a cosigner's log, over HTTP, with nothing but these packages.
//
// Every command reads files and prints one JSON value. Exit code 1 with a message on standard error means that something
// did not verify or could not be read; 2 that the command line is wrong.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
)

type command struct {
	usage     string
	arguments int
	more      bool
	run       func(arguments []string) (any, error)
}

var commands = map[string]command{
	"verify-note":       {"NOTE VKEY...", 2, true, verifyNote},
	"sign-note":         {"TEXT SKEY...", 2, true, signNote},
	"write-log":         {"FOLDER ENTRIES.json OLD-SIZE", 3, false, writeLog},
	"read-log":          {"FOLDER SIZE ROOT", 3, false, readLog},
	"prove-inclusion":   {"FOLDER SIZE ROOT INDEX", 4, false, proveInclusion},
	"prove-consistency": {"FOLDER SIZE ROOT OLD-SIZE", 4, false, proveConsistency},
	"check-inclusion":   {"PROOFS.json", 1, false, checkInclusion},
	"check-consistency": {"PROOFS.json", 1, false, checkConsistency},
	"write-proof":       {"PROOF.json CHECKPOINT", 2, false, writeProof},
	"check-proof":       {"PROOF LEAF-HASH VKEY...", 3, true, checkProof},
	"check-cosigner":    {"URL EXPECTED.json", 2, false, checkCosigner},
}

func main() {
	if len(os.Args) < 2 {
		usage()
	}
	chosen, ok := commands[os.Args[1]]
	arguments := os.Args[2:]
	if !ok || len(arguments) < chosen.arguments || (len(arguments) > chosen.arguments && !chosen.more) {
		usage()
	}
	result, err := chosen.run(arguments)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(result)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func usage() {
	for _, name := range slices.Sorted(maps.Keys(commands)) {
		fmt.Fprintln(os.Stderr, "interop", name, commands[name].usage)
	}
	os.Exit(2)
}

func readJSON(path string, value any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, value)
}

var errNotVerified = errors.New("does not verify")
