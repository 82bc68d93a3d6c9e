{ What FreePascal's runtime does: exceptions out of signals, strings, files, lists. }
{$mode objfpc}{$H+}
program exceptions;
uses sysutils, classes, math;

var
  list: tstringlist;
  zero, index: integer;
  pointer_: pinteger;
  text_: textfile;
  line: string;
begin
  try
    raise exception.create('own');
  except
    on e: exception do writeln('caught: ', e.message);
  end;
  zero := paramcount;
  try
    writeln(10 div zero);
  except
    on e: edivbyzero do writeln('caught: ', e.classname);
  end;
  pointer_ := nil;
  try
    writeln(pointer_^);
  except
    on e: eaccessviolation do writeln('caught: ', e.classname);
  end;
  try
    strtoint('no number');
  except
    on e: econverterror do writeln('caught: ', e.message);
  end;
  list := tstringlist.create;
  for index := 20 downto 1 do list.add(format('%.3d', [index]));
  list.sort;
  writeln(list.count, ' ', list[0], ' ', list[19]);
  list.savetofile('list.txt');
  list.clear;
  list.loadfromfile('list.txt');
  writeln(list.count, ' ', fileexists('list.txt'), ' ', fileexists('missing'));
  list.free;
  assignfile(text_, 'text.txt');
  rewrite(text_);
  writeln(text_, 'a line');
  closefile(text_);
  append(text_);
  writeln(text_, 'another');
  closefile(text_);
  reset(text_);
  while not eof(text_) do begin
    readln(text_, line);
    writeln('read: ', line);
  end;
  closefile(text_);
  writeln(deletefile('text.txt'), ' ', directoryexists('.'));
  writeln(formatfloat('0.0000', sin(1) * exp(2)));
  writeln(getenvironmentvariable('TORO_TEST'));
  writeln(now > 40000);
  { nobody catches this one }
  reset(text_);
end.
