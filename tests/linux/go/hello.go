// The first program of all.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Println("Hello, world")
	if len(os.Args) > 1 {
		os.Exit(len(os.Args))
	}
}
