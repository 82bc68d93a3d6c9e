{ The first program of all: no C library, calls by hand. }
program hello;
begin
  writeln('Hello, world');
  if paramcount > 0 then halt(paramcount);
end.
