// What Go's runtime does by itself: goroutines on several threads, a garbage collector, timers, signals that preempt,
// a nil pointer that becomes a panic.
package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

func goroutines() {
	var wait sync.WaitGroup
	var sum int64
	for number := 1; number <= 1000; number++ {
		wait.Add(1)
		go func(number int64) {
			defer wait.Done()
			runtime.Gosched()
			atomic.AddInt64(&sum, number)
		}(int64(number))
	}
	wait.Wait()
	fmt.Println("goroutines:", sum)
}

func channels() {
	numbers, squares := make(chan int), make(chan int, 10)
	go func() {
		for number := 0; number < 1000; number++ {
			numbers <- number
		}
		close(numbers)
	}()
	go func() {
		for number := range numbers {
			squares <- number * number
		}
		close(squares)
	}()
	sum := 0
	for square := range squares {
		sum += square
	}
	fmt.Println("channels:", sum)
	select {
	case <-time.After(20 * time.Millisecond):
		fmt.Println("after: rang")
	case <-make(chan int):
		fmt.Println("after: impossible")
	}
}

func garbage() {
	debug.SetGCPercent(20)
	kept := map[int]string{}
	for round := 0; round < 200; round++ {
		for number := 0; number < 500; number++ {
			kept[number] = strings.Repeat("x", number) + fmt.Sprint(round)
		}
	}
	runtime.GC()
	var statistics runtime.MemStats
	runtime.ReadMemStats(&statistics)
	fmt.Println("garbage:", len(kept), len(kept[499]), statistics.NumGC > 1)
}

// One that never calls anything must be stopped by a signal.
func preemption() {
	runtime.GOMAXPROCS(1)
	var stop int32
	go func() {
		time.Sleep(10 * time.Millisecond)
		atomic.StoreInt32(&stop, 1)
	}()
	rounds := 0
	for atomic.LoadInt32(&stop) == 0 {
		rounds++
	}
	fmt.Println("preemption:", rounds > 0)
	runtime.GOMAXPROCS(runtime.NumCPU())
}

func panics() {
	try := func(what string, act func()) {
		defer func() { fmt.Printf("%s: %v\n", what, recover()) }()
		act()
	}
	var nothing *struct{ field int }
	var empty []int
	zero := 0
	try("nil", func() { fmt.Println(nothing.field) })
	try("index", func() { fmt.Println(empty[3]) })
	try("divide", func() { fmt.Println(1 / zero) })
	try("own", func() { panic("own") })
}

func files() {
	folder, err := os.MkdirTemp("", "toro")
	check(err)
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "a", "b", "c")
	check(os.MkdirAll(filepath.Dir(path), 0o755))
	check(os.WriteFile(path, []byte("contents"), 0o640))
	check(os.Symlink("c", path+".link"))
	text, err := os.ReadFile(path + ".link")
	check(err)
	fmt.Println("files:", string(text))
	var names []string
	check(filepath.Walk(folder, func(path string, info os.FileInfo, err error) error {
		names = append(names, fmt.Sprint(strings.TrimPrefix(path, folder), " ", info.Mode()))
		return err
	}))
	sort.Strings(names)
	fmt.Println("files:", names)
	_, err = os.Open(filepath.Join(folder, "missing"))
	fmt.Println("files:", errors.Is(err, os.ErrNotExist))
	reader, writer, err := os.Pipe()
	check(err)
	go func() {
		fmt.Fprint(writer, "through a pipe")
		writer.Close()
	}()
	text, err = io.ReadAll(reader)
	check(err)
	fmt.Println("files:", string(text))
}

func computing() {
	var wait sync.WaitGroup
	results := make([]string, 8)
	for index := range results {
		wait.Add(1)
		go func(index int) {
			defer wait.Done()
			sum := sha256.New()
			for round := 0; round < 50; round++ {
				sum.Write(bytes.Repeat([]byte{byte(index)}, 1000))
			}
			results[index] = fmt.Sprintf("%x", sum.Sum(nil)[:4])
		}(index)
	}
	wait.Wait()
	fmt.Println("computing:", results)
}

// A listener of both families, which is dialled by each.
func families() {
	listener, err := net.Listen("tcp", ":0")
	check(err)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(conn, "you are %s", conn.RemoteAddr().(*net.TCPAddr).IP)
			conn.Close()
		}
	}()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	check(err)
	for _, host := range []string{"::1", "127.0.0.1"} {
		conn, err := net.Dial("tcp", net.JoinHostPort(host, port))
		check(err)
		answer, err := io.ReadAll(conn)
		check(err)
		fmt.Println("families:", host, string(answer))
		conn.Close()
	}
	listener.Close()
	for _, here := range []string{"127.0.0.1:0", "[::1]:0"} {
		one, err := net.ListenPacket("udp", here)
		check(err)
		other, err := net.Dial("udp", one.LocalAddr().String())
		check(err)
		fmt.Fprintf(other, "datagram")
		buffer := make([]byte, 100)
		count, from, err := one.ReadFrom(buffer)
		check(err)
		fmt.Println("families:", here, string(buffer[:count]), from.String() == other.LocalAddr().String())
		one.Close()
		other.Close()
	}
	only, err := net.Listen("tcp6", "[::1]:0")
	check(err)
	fmt.Println("families:", only.Addr().(*net.TCPAddr).IP)
	only.Close()
}

func deep(depth int) int {
	var frame [256]byte
	frame[depth%256] = 1
	if depth == 0 {
		return int(frame[0])
	}
	return deep(depth-1) + int(frame[depth%256])
}

func check(err error) {
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

func main() {
	goroutines()
	channels()
	garbage()
	preemption()
	panics()
	files()
	families()
	computing()
	fmt.Println("stack:", deep(20000))
	start := time.Now()
	time.Sleep(5 * time.Millisecond)
	fmt.Println("time:", time.Since(start) >= 5*time.Millisecond, start.Year() > 2020)
	if len(os.Args) > 1 {
		var nothing *int
		fmt.Println(*nothing)
	}
}
