// Panics out of signals, recovered wherever they can be, and goroutines that never call anything.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"
)

type record struct {
	pad   [1 << 16]byte
	field int
}

var nothing *record
var zero int

func try(what string, act func()) {
	defer func() {
		caught := recover()
		failure, isRuntime := caught.(runtime.Error)
		text := fmt.Sprint(caught)
		if isRuntime {
			text = "runtime error, " + failure.Error()
		}
		fmt.Printf("%s: %s\n", what, text)
	}()
	act()
	fmt.Printf("%s: nothing happened\n", what)
}

func recovered() {
	try("read", func() { fmt.Println(nothing.field) })
	try("write", func() { nothing.pad[0] = 1 })
	try("divide", func() { fmt.Println(1 / zero) })
	try("index", func() { fmt.Println(make([]int, 2)[3+zero]) })
	try("cast", func() { fmt.Println(interface{}(zero).(string)) })
	try("map", func() { var none map[int]int; none[1] = 2 })
	try("closed", func() { c := make(chan int); close(c); close(c) })
	try("own", func() { panic(errors.New("own")) })
	try("again", func() {
		defer func() {
			recover()
			panic("another")
		}()
		fmt.Println(nothing.field)
	})
	caught := 0
	for round := 0; round < 2000; round++ {
		func() {
			defer func() {
				if recover() != nil {
					caught++
				}
			}()
			fmt.Println(nothing.field)
		}()
	}
	fmt.Println("caught:", caught)
}

func anywhere() {
	debug.SetPanicOnFault(true)
	defer debug.SetPanicOnFault(false)
	page, err := syscall.Mmap(-1, 0, 4096, syscall.PROT_READ, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		panic(err)
	}
	try("read-only", func() { page[5] = 1 })
	place := uintptr(0x7000_0000_1234)
	try("wild", func() {
		defer func() {
			failure := recover().(interface{ Addr() uintptr })
			fmt.Printf("wild: at %#x\n", failure.Addr())
		}()
		fmt.Println(*(*int)(unsafe.Pointer(place)))
	})
}

func preempted(processors int) {
	runtime.GOMAXPROCS(processors)
	defer runtime.GOMAXPROCS(runtime.NumCPU())
	var stop, rounds int64
	var wait sync.WaitGroup
	for worker := 0; worker < 2; worker++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			own := int64(0)
			for atomic.LoadInt64(&stop) == 0 {
				own++
			}
			atomic.AddInt64(&rounds, own)
		}()
	}
	for turn := 0; turn < 2; turn++ {
		runtime.GC() // stops all of them
	}
	atomic.StoreInt64(&stop, 1)
	wait.Wait()
	fmt.Println("preempted:", processors, rounds > 0)
}

func main() {
	if len(os.Args) > 1 {
		defer fmt.Println("deferred")
		switch os.Args[1] {
		case "nil":
			fmt.Println(nothing.field)
		case "goroutine":
			go func() { fmt.Println(1 / zero) }()
			select {}
		case "exit":
			runtime.Goexit()
		}
	}
	recovered()
	anywhere()
	preempted(1)
	preempted(2)
}
