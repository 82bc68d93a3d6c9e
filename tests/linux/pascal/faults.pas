{ Every exception that a processor or the runtime raises, caught by its class, and what an argument names, uncaught. }
{$mode objfpc}{$H+}{$Q+}{$R+}{$S+}
program faults;
uses sysutils, classes, math;

type
  emine = class(exception)
    code: integer;
    constructor create(acode: integer);
  end;
  eother = class(emine);

var
  zero: longint;
  wide, largest: int64;
  nothing: pinteger;
  { Of the x87's type, and looked at by fwait: QEMU's translator raises no other floating-point exceptions. }
  real_zero, sum, large: extended;
  order: string;
  list: array of integer;

constructor emine.create(acode: integer);
begin
  inherited create('mine ' + inttostr(acode));
  code := acode;
end;

procedure note(const what: string);
begin
  order := order + what + ' ';
end;

function deeper(level: integer): integer;
var
  room: array[0..1023] of integer;
begin
  room[level and 1023] := level;
  result := deeper(level + 1) + room[level and 1023];
end;

procedure try_one(number: integer);
begin
  case number of
    0: writeln(10 div zero);
    1: writeln(10 mod zero);
    2: writeln(wide div int64(zero));
    3: writeln(nothing^);
    4: nothing^ := 1;
    5: begin sum := 1.0 / real_zero; asm fwait end; writeln(sum); end;
    6: begin sum := sqrt(real_zero - 1.0); asm fwait end; writeln(sum); end;
    7: begin sum := large * large; asm fwait end; writeln(sum); end;
    8: begin largest := largest + (1 + zero); writeln(largest); end;
    9: writeln(list[3 + zero]);
    10: writeln(deeper(0));
    11: raise emine.create(7);
    12: raise eother.create(8);
    13: writeln(strtoint('x'));
    14: writeln((tobject(tstringlist.create) as emine).code);
    15: abort;
  end;
end;

procedure classes_of_exceptions;
var
  number: integer;
begin
  for number := 0 to 15 do
    try
      try_one(number);
      writeln(number, ': nothing happened');
    except
      on e: edivbyzero do writeln(number, ': division by zero, ', e.classname, ' ', e.message);
      on e: eaccessviolation do writeln(number, ': access, ', e.classname, ' ', e.message);
      on e: einvalidop do writeln(number, ': invalid operation, ', e.classname, ' ', e.message);
      on e: ezerodivide do writeln(number, ': floating division, ', e.classname, ' ', e.message);
      on e: eoverflow do writeln(number, ': overflow, ', e.classname, ' ', e.message);
      on e: eintoverflow do writeln(number, ': integer overflow, ', e.classname, ' ', e.message);
      on e: erangeerror do writeln(number, ': range, ', e.classname, ' ', e.message);
      on e: estackoverflow do writeln(number, ': stack, ', e.classname, ' ', e.message);
      on e: eother do writeln(number, ': other, ', e.code, ' ', e.message);
      on e: emine do writeln(number, ': mine, ', e.code, ' ', e.message);
      on e: einvalidcast do writeln(number, ': cast, ', e.classname);
      on e: eabort do writeln(number, ': abort');
      on e: exception do writeln(number, ': ', e.classname, ' ', e.message);
    end;
end;

procedure order_of_finally;
begin
  order := '';
  try
    try
      try
        note('body');
        writeln(10 div zero);
        note('never');
      finally
        note('inner-finally');
      end;
    except
      on e: edivbyzero do begin note('except'); raise; end;
    end;
    note('never');
  except
    on e: exception do note('outer-' + e.classname);
  end;
  try
    try
      raise emine.create(1);
    finally
      try
        nothing^ := 0;
      except
        note('fault-in-finally');
      end;
    end;
  except
    on e: emine do note(e.message);
  end;
  writeln(order);
end;

procedure again_and_again;
var
  round, caught: integer;
begin
  caught := 0;
  for round := 1 to 10000 do
    try
      if odd(round) then writeln(round div zero) else writeln(nothing^);
    except
      on e: eexternal do inc(caught);
    end;
  writeln(caught, ' faults caught');
end;

procedure masked;
begin
  setexceptionmask([exinvalidop, exdenormalized, exzerodivide, exoverflow, exunderflow, exprecision]);
  sum := 1.0 / real_zero;
  writeln('masked: ', isinfinite(sum), ' ', isnan(sqrt(real_zero - 1.0)));
end;

begin
  zero := 0;
  wide := 10;
  real_zero := 0.0;
  large := 1e4000;
  largest := high(int64);
  setlength(list, 2);
  if paramcount > 0 then begin
    try
      try_one(strtoint(paramstr(1)));
    finally
      writeln('finally');
      flush(output);
    end;
  end;
  classes_of_exceptions;
  order_of_finally;
  again_and_again;
  masked;
end.
