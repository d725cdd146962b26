// Command interop stands for others in tests of the witness: it verifies a checkpoint that our witness has cosigned with
// filippo.io/torchwood, and it holds an Ed25519 key in an SSH agent for litewitness, torchwood's own witness.
package main

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"

	"filippo.io/torchwood"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/mod/sumdb/note"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	switch {
	case len(arguments) == 3 && arguments[0] == "verify":
		return verify(arguments[1], arguments[2])
	case len(arguments) == 3 && arguments[0] == "agent":
		return serveAgent(arguments[1], arguments[2])
	}
	return fmt.Errorf("usage: interop verify LOG-VKEY WITNESS-VKEY <NOTE | interop agent SOCKET 32-BYTE-SEED")
}

// verify reads a checkpoint from standard input and prints what torchwood makes of it, with the cosignature's time.
func verify(logKey, witnessKey string) error {
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	log, err := note.NewVerifier(logKey)
	if err != nil {
		return err
	}
	witness, err := torchwood.NewCosignatureVerifier(witnessKey)
	if err != nil {
		return err
	}
	opened, err := note.Open(input, note.VerifierList(log, witness))
	if err != nil {
		return err
	}
	if len(opened.Sigs) != 2 || len(opened.UnverifiedSigs) != 0 {
		return fmt.Errorf("%d signatures verify, %d do not", len(opened.Sigs), len(opened.UnverifiedSigs))
	}
	checkpoint, err := torchwood.ParseCheckpoint(opened.Text)
	if err != nil {
		return err
	}
	var seconds int64
	for _, signature := range opened.Sigs {
		if signature.Name == witness.Name() {
			seconds, err = torchwood.CosignatureTimestamp(signature)
			if err != nil {
				return err
			}
		}
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"origin": checkpoint.Origin, "size": checkpoint.N, "seconds": seconds,
	})
}

// serveAgent prints the key's fingerprint and serves it until it is killed.
func serveAgent(socket, seed string) error {
	if len(seed) != ed25519.SeedSize {
		return fmt.Errorf("the seed has %d bytes", len(seed))
	}
	key := ed25519.NewKeyFromSeed([]byte(seed))
	keyring := agent.NewKeyring()
	if err := keyring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		return err
	}
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	fmt.Println(ssh.FingerprintSHA256(public))
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go agent.ServeAgent(keyring, connection)
	}
}
